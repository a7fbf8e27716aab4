/* Requests that change a container. */
#include <errno.h>
#include <signal.h>

#include "requests.h"

struct container *named_container(struct reader *r, const char *request, struct failure *f) {
  char name[80];
  get_str(r, name, sizeof name);
  struct container *t = r->bad ? NULL : container_find(name);
  if (!t) fail_with(f, r->bad ? EBADMSG : ENOENT, request, name, r->bad ? "decode" : "no such container");
  return t;
}

struct container *running_container(struct reader *r, const char *request, struct failure *f) {
  struct container *t = named_container(r, request, f);
  if (!t || (t->main && t->main->exit.fd >= 0 && t->state == STATE_RUNNING)) return t;
  fail_with(f, ESRCH, request, t->id, "not running");
  return NULL;
}

struct process *process_of(struct container *t, uint32_t exec) {
  if (!exec) return t->main;
  for (struct process *p = t->execs; p; p = p->next)
    if (p->exec == exec) return p;
  return NULL;
}

int ask_start(struct connection *c, uint32_t id, struct reader *r, struct failure *f) {
  struct container *t = named_container(r, "container.start", f);
  return t ? container_start(c, id, t, r, f) : -1;
}

int ask_restart(struct connection *c, uint32_t id, struct reader *r, struct failure *f) {
  struct container *t = named_container(r, "container.restart", f);
  return t ? container_restart(c, id, t, r, f) : -1;
}

int ask_save(struct connection *c, uint32_t id, struct reader *r, struct failure *f) {
  struct container *t = named_container(r, "scratch.save", f);
  return t ? scratch_save(c, id, t, r, f) : -1;
}

int ask_signal(struct connection *c, uint32_t id, struct reader *r, struct failure *f) {
  struct container *t = named_container(r, "signal", f);
  uint32_t exec = get_u32(r), number = get_u32(r);
  if (!t) return -1;
  struct process *p = process_of(t, exec);
  if (r->bad || number >= NSIG) return fail_with(f, EINVAL, "signal", t->id, "number");
  if (!p || process_signal(p, (int)number)) return fail_with(f, p ? errno : ESRCH, "signal", t->id, "kill");
  send_reply(c, id);
  return 0;
}

int ask_wait(struct connection *c, uint32_t id, struct reader *r, struct failure *f, enum wait_kind kind) {
  struct container *t = named_container(r, kind == WAIT_EXIT ? "wait" : "remove", f);
  if (!t && kind == WAIT_REMOVE) helper_end(f->path); /* it may wait for a container that never came */
  if (!t) return -1;
  waiter_add(kind, c, id, t);
  if (kind == WAIT_REMOVE) container_remove(t);
  else if (t->state == STATE_EXITED) waiters_exited(t);
  return 0;
}

int ask_resize(struct reader *r, struct failure *f) {
  struct container *t = named_container(r, "resize", f);
  uint32_t exec = get_u32(r);
  uint16_t columns = get_u16(r), rows = get_u16(r);
  if (!t) return -1;
  if (r->bad) return fail_with(f, EBADMSG, "resize", t->id, "decode");
  struct process *p = process_of(t, exec);
  if (p && !terminal_resize(p, columns, rows)) return 0;
  return fail_with(f, p ? errno : ESRCH, "resize", t->id, "TIOCSWINSZ");
}

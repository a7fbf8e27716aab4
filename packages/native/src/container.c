/* Containers: how they are created, started, removed and forgotten. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "faults.h"
#include "inject.h"
#include "networks.h"
#include "ops.h"
#include "run.h"
#include "storage.h"
#include "sys.h"

struct container *container_find(const char *id) {
  for (struct container *t = run.containers; t; t = t->next)
    if (!t->removed && !strcmp(t->id, id)) return t;
  return NULL;
}

static int write_limits(struct container *t, struct reader *r, struct failure *f) {
  int result = 0;
  uint16_t writes = get_u16(r);
  for (uint16_t i = 0; i < writes && !r->bad; i++) {
    char controller[64], file[128], value[256];
    get_str(r, controller, sizeof controller);
    get_str(r, file, sizeof file);
    get_str(r, value, sizeof value);
    if (!result && !r->bad) result = cgroups_write(&run.cgroups, t->cgroup_fds, controller, file, value, f);
  }
  return result;
}

int container_create(struct connection *c, uint32_t id, struct reader *r, struct failure *f) {
  struct container *t = xalloc(sizeof *t);
  get_str(r, t->id, sizeof t->id);
  uint32_t flags = get_u32(r);
  t->namespaces = get_u32(r);
  get_str(r, t->pid_of, sizeof t->pid_of);
  uint32_t n;
  const uint8_t *bytes = get_bytes(r, &n);
  if (bytes) buffer_append(&t->label, bytes, n);
  t->scratch = get_str_dup(r);
  t->conn = c;
  t->held = flags & FLAG_HELD;
  t->diag = t->scratch_fd = t->mounts_fd = t->before_fd = t->handin.fd = -1;
  const uint64_t allowed = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;
  struct container *other = container_find(t->id);
  if (r->bad || !t->id[0] || strchr(t->id, '/') || t->id[0] == '.' || t->namespaces & ~allowed ||
      (t->pid_of[0] && t->namespaces & CLONE_NEWPID)) {
    free(t->scratch);
    buffer_free(&t->label);
    free(t);
    return fail_with(f, EBADMSG, "container.create", "", "decode");
  }
  if (other) {
    fail_with(f, EEXIST, "container.create", t->id, "id");
    free(t->scratch);
    buffer_free(&t->label);
    free(t);
    return -1;
  }
  run.strays = run.strays || !(t->namespaces & CLONE_NEWPID);
  t->next = run.containers;
  run.containers = t;
  int result = cgroups_create(&run.cgroups, t->id, t->cgroup_fds, f);
  STEP(INJECT_SUPERVISOR);
  if (!result) result = write_limits(t, r, f);
  t->log.cap = get_u32(r);
  const uint8_t *ops = get_bytes(r, &n);
  if (!result && r->bad) result = fail_with(f, EBADMSG, "container.create", t->id, "decode");
  if (!result) result = ops_check(ops, n, f);
  if (!result) t->main = process_spawn(t, c, id, flags & ~(uint32_t)FLAG_FILES, ops, n, 0, f);
  t->rooted = t->main && ops_have(ops, n, OP_PIVOT);
  if (t->main) {
    helper_serves(t->id);
    ports_arrived(t);
    return 0;
  }
  t->removing = true;
  container_settle(t);
  return -1;
}

/* The rest of a waiting container: what creation left open, then the operations after `await`. */
int container_start(struct connection *c, uint32_t id, struct container *t, struct reader *r, struct failure *f) {
  uint32_t flags = get_u32(r), n;
  const uint8_t *bytes = get_bytes(r, &n);
  char *scratch = get_str_dup(r);
  struct process *p = t->main;
  bool ready = t->state == STATE_WAITING && p && p->control >= 0 && !p->exited && !t->removing;
  if (!bytes || !scratch || !ready) {
    free(scratch);
    return r->bad ? fail_with(f, EBADMSG, "container.start", t->id, "decode")
                  : fail_with(f, EINVAL, "container.start", t->id, "not waiting");
  }
  t->label.length = 0;
  buffer_append(&t->label, bytes, n);
  free(t->scratch);
  t->scratch = scratch;
  int result = write_limits(t, r, f);
  t->log.cap = get_u32(r);
  const uint8_t *ops = get_bytes(r, &n);
  if (!result && r->bad) result = fail_with(f, EBADMSG, "container.start", t->id, "decode");
  if (!result) result = ops_check(ops, n, f);
  if (!result) {
    struct buffer b = {0};
    put_bytes(&b, ops, n);
    result = write_all(p->control, b.data, b.length) ? fail(f, "container.start", t->id, "write") : 0;
    buffer_free(&b);
  }
  /* A list that ends in `await` once more leaves the rest to the next request. */
  if (result || !ops_have(ops, n, OP_AWAIT)) {
    close(p->control);
    p->control = -1;
  }
  if (result) {
    container_remove(t); /* half started is of no use to anyone */
    return -1;
  }
  t->held = flags & FLAG_HELD;
  t->rooted = t->rooted || ops_have(ops, n, OP_PIVOT);
  p->pending = true;
  p->conn = c;
  p->request = id;
  return 0;
}

/* The same files, cgroups and label; the rest of it is made anew. */
int container_restart(struct connection *c, uint32_t id, struct container *t, struct reader *r, struct failure *f) {
  uint32_t flags = get_u32(r), n;
  const uint8_t *ops = get_bytes(r, &n);
  if (r->bad) return fail_with(f, EBADMSG, "container.restart", t->id, "decode");
  if (t->state != STATE_EXITED || t->removing || !t->main || t->mounts_fd < 0)
    return fail_with(f, EINVAL, "container.restart", t->id, "not stopped");
  if (ops_check(ops, n, f)) return -1;
  /* One that could not be started again has said so, and is just ending. */
  siginfo_t info;
  if (!t->main->exited) (void)waitid(P_PIDFD, (id_t)t->main->exit.fd, &info, WEXITED);
  struct process *old = t->main, *p = process_spawn(t, c, id, flags & ~(uint32_t)FLAG_FILES, ops, n, 0, f);
  if (!p) return -1;
  t->main = p;
  process_free(old);
  if (t->diag >= 0) close(t->diag);
  t->diag = -1;
  t->state = 0;
  t->started_at = t->exited_at = 0;
  t->oom_killed = t->frozen = false;
  t->held = flags & FLAG_HELD;
  t->ooms = cgroups_oom_kills(&run.cgroups, t->cgroup_fds);
  t->log.life = t->log.first + (t->log.data.length - t->log.start);
  t->log.life_written = t->log.written;
  ports_arrived(t);
  return 0;
}

bool container_restore(struct container *t) {
  if (t->before_fd < 0) return false;
  if (t->mounts_fd >= 0) close(t->mounts_fd);
  t->mounts_fd = t->before_fd;
  t->before_fd = -1;
  t->state = STATE_EXITED;
  t->exited_at = now_ns(CLOCK_REALTIME);
  return true;
}

int exec_create(struct connection *c, uint32_t id, struct reader *r, struct failure *f) {
  char name[80];
  get_str(r, name, sizeof name);
  uint32_t flags = get_u32(r), credit = get_u32(r), n;
  const uint8_t *ops = get_bytes(r, &n);
  if (r->bad) return fail_with(f, EBADMSG, "exec", name, "decode");
  struct container *t = container_find(name);
  bool files = flags & FLAG_FILES;
  if (!t || t->removing || (files ? t->mounts_fd < 0 || !t->rooted || !t->state : t->state != STATE_RUNNING))
    return fail_with(f, ESRCH, "exec", name, "not running");
  if (ops_check(ops, n, f)) return -1;
  struct process *p = process_spawn(t, c, id, flags, ops, n, ++run.next_exec, f);
  if (!p) return -1;
  p->credit = credit;
  p->next = t->execs;
  t->execs = p;
  if (p->input.source.fd >= 0) input_open(&p->input, c, id);
  return 0;
}

void container_remove(struct container *t) {
  if (t->removing) return;
  t->removing = true;
  STEP(INJECT_SUPERVISOR);
  /* Its mounts end with its processes, which are many, and not with us, who are one. */
  (void)container_restore(t);
  if (t->mounts_fd >= 0) close(t->mounts_fd);
  t->mounts_fd = -1;
  for (struct process *p = t->execs; p; p = p->next)
    if (p->files) (void)process_signal(p, SIGKILL);
  if (t->main) {
    (void)process_signal(t->main, SIGKILL);
    if (!(t->namespaces & CLONE_NEWPID)) {
      for (struct process *p = t->execs; p; p = p->next) (void)process_signal(p, SIGKILL);
      cgroups_end(&run.cgroups, t->cgroup_fds);
    }
    if (t->frozen) cgroups_thaw(&run.cgroups, t->cgroup_fds);
  }
  container_settle(t);
}

static bool known(pid_t pid) {
  for (struct container *t = run.containers; t; t = t->next) {
    if (t->main && t->main->pid == pid) return true;
    for (struct process *p = t->execs; p; p = p->next)
      if (p->pid == pid) return true;
  }
  return false;
}

/* Orphans of containers without a pid namespace of their own come to us when their own init was killed. */
void strays_reap(void) {
  for (;;) {
    siginfo_t info = {0};
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) || !info.si_pid || known(info.si_pid)) return;
    (void)waitid(P_PID, (id_t)info.si_pid, &info, WEXITED | WNOHANG);
  }
}

/* Frees what has ended; forgets a container that is being removed once nothing of it runs. */
void container_settle(struct container *t) {
  if (t->removed) return;
  bool alive = t->main && !t->main->exited;
  for (struct process **at = &t->execs; *at;) {
    struct process *p = *at;
    if (!p->exited || (!p->reported && !t->removing)) {
      alive = true;
      at = &p->next;
      continue;
    }
    *at = p->next;
    process_free(p);
  }
  if (!t->removing || alive) return;
  t->removed = true;
  faults_lost(t);
  storage_release(t);
  ports_lost(t);
  networks_left(t);
  waiters_exited(t);
  waiters_removed(t);
  STEP(INJECT_SUPERVISOR);
  (void)cgroups_remove(&run.cgroups, t->id, t->cgroup_fds); /* what stays busy is the janitor's */
  if (t->main) process_free(t->main);
  if (t->diag >= 0) close(t->diag);
  if (t->mounts_fd >= 0) close(t->mounts_fd);
  helper_end(t->id);
  scratch_free(t);
  STEP(INJECT_SUPERVISOR);
  if (t->scratch && t->scratch[0]) janitor_delete(t->scratch);
  STEP(INJECT_SUPERVISOR);
  for (struct container **at = &run.containers; *at; at = &(*at)->next)
    if (*at == t) {
      *at = t->next;
      break;
    }
  free(t->scratch);
  buffer_free(&t->label);
  buffer_free(&t->log.data);
  free_later(t);
}

void processes_forget(struct connection *c) {
  for (struct container *t = run.containers, *next; t; t = next) {
    next = t->next;
    for (struct process *p = t->execs; p; p = p->next) {
      if (p->input.conn == c) p->input.conn = NULL;
      if (p->conn == c) {
        p->conn = NULL;
        (void)process_signal(p, SIGKILL);
        source_close(&p->out), source_close(&p->err);
      }
    }
    if (t->main && t->main->conn == c) t->main->conn = NULL;
    if (t->main && t->main->input.conn == c) t->main->input.conn = NULL;
    if (t->conn == c) container_remove(t);
  }
}

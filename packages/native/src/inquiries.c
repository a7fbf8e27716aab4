/* Requests for what is known of a container, and for its files of the kernel. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "requests.h"

int ask_sockets(struct connection *c, uint32_t id, struct reader *r, struct failure *f) {
  struct container *t = named_container(r, "sockets", f);
  if (!t) return -1;
  waiters_check(t);
  struct listener found[256];
  int n = container_listeners(t, found, 256);
  if (n < 0) return fail(f, "sockets", t->id, "sock_diag");
  struct buffer b = {0};
  put_u16(&b, (uint16_t)n);
  for (int i = 0; i < n; i++) {
    put_u8(&b, found[i].family);
    buffer_append(&b, found[i].address, sizeof found[i].address);
    put_u16(&b, found[i].port);
    put_u8(&b, found[i].v6only);
  }
  send_frame(c, FRAME_REPLY, id, &b);
  buffer_free(&b);
  return 0;
}

int ask_port_watch(struct connection *c, uint32_t id, struct reader *r, struct failure *f) {
  struct container *t = named_container(r, "port.watch", f);
  uint16_t number = get_u16(r);
  uint8_t flags = get_u8(r);
  if (!t) return -1;
  if (r->bad) return fail_with(f, EBADMSG, "port.watch", t->id, "decode");
  if (t->state == STATE_EXITED) return fail_with(f, ESRCH, "port.watch", t->id, "the container ended");
  struct waiter *w = waiter_add(WAIT_PORT, c, id, t);
  w->number = number;
  w->flags = flags;
  waiters_start();
  return 0;
}

int ask_cgroup(struct connection *c, uint32_t id, struct reader *r, struct failure *f, bool writes) {
  struct container *t = named_container(r, writes ? "cgroup.write" : "cgroup.read", f);
  if (!t) return -1;
  char controller[64], file[128], value[16384] = "";
  get_str(r, controller, sizeof controller);
  get_str(r, file, sizeof file);
  if (writes) get_str(r, value, sizeof value);
  if (r->bad) return fail_with(f, EBADMSG, "cgroup", t->id, "decode");
  if (writes) {
    if (!strcmp(file, "freezer.state")) t->frozen = true;
    if (cgroups_write(&run.cgroups, t->cgroup_fds, controller, file, value, f)) return -1;
    send_reply(c, id);
    return 0;
  }
  if (cgroups_read(&run.cgroups, t->cgroup_fds, controller, file, value, sizeof value, f) < 0) return -1;
  struct buffer b = {0};
  put_str(&b, value);
  send_frame(c, FRAME_REPLY, id, &b);
  buffer_free(&b);
  return 0;
}

int ask_list(struct connection *c, uint32_t id) {
  struct buffer b = {0};
  uint16_t n = 0;
  for (struct container *t = run.containers; t; t = t->next) n++;
  put_u16(&b, n);
  for (struct container *t = run.containers; t; t = t->next) {
    put_str(&b, t->id);
    put_u8(&b, (uint8_t)t->state);
    put_u32(&b, t->main ? (uint32_t)t->main->pid : 0);
    put_u64(&b, t->started_at);
    put_u64(&b, t->exited_at);
    put_u32(&b, t->main ? (uint32_t)t->main->code : 0);
    put_u32(&b, t->main ? (uint32_t)t->main->signal : 0);
    put_u8(&b, t->oom_killed);
    put_bytes(&b, t->label.data, t->label.length);
  }
  send_frame(c, FRAME_REPLY, id, &b);
  buffer_free(&b);
  return 0;
}

int ask_label(struct connection *c, uint32_t id, struct reader *r, struct failure *f) {
  struct container *t = named_container(r, "label", f);
  uint32_t n;
  const uint8_t *bytes = get_bytes(r, &n);
  if (!t) return -1;
  if (!bytes) return fail_with(f, EBADMSG, "label", t->id, "decode");
  t->label.length = 0;
  buffer_append(&t->label, bytes, n);
  send_reply(c, id);
  return 0;
}

/* The kernel's tables of a network namespace: those of the one that the reader is in. */
int ask_netdev(struct connection *c, uint32_t id, struct reader *r, struct failure *f) {
  struct container *t = named_container(r, "netdev", f);
  char name[16], path[64];
  get_str(r, name, sizeof name);
  if (!t) return -1;
  if (r->bad || (strcmp(name, "dev") && strcmp(name, "unix"))) return fail_with(f, EBADMSG, "netdev", t->id, "decode");
  snprintf(path, sizeof path, "/proc/self/net/%s", name);
  if (!t->main || t->main->exit.fd < 0 || setns(t->main->exit.fd, CLONE_NEWNET))
    return fail_with(f, ESRCH, "netdev", t->id, "setns");
  static char text[256 << 10];
  ssize_t n = read_file_at(AT_FDCWD, path, text, sizeof text);
  int saved = errno;
  if (setns(run.hub_ns, CLONE_NEWNET)) _exit(71);
  if (n < 0) return fail_with(f, saved, "netdev", t->id, "read");
  struct buffer b = {0};
  put_str(&b, text);
  send_frame(c, FRAME_REPLY, id, &b);
  buffer_free(&b);
  return 0;
}

/* What clients may ask, request by request (docs/protocol.md, Requests). */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dns.h"
#include "faults.h"
#include "networks.h"
#include "ops.h"
#include "run.h"
#include "storage.h"

enum method {
  HELLO = 1, CREATE, START, EXEC, SIGNAL, WAIT, REMOVE, LOGS, ATTACH, RESIZE, PORT_OPEN, PORT_TARGET, PORT_CLOSE,
  SOCKETS, PORT_WATCH, CGROUP_READ, CGROUP_WRITE, LIST, SHUTDOWN, LABEL, HELPER, NETDEV, RESTART,
  NETWORK_CREATE = 33, NETWORK_DELETE, NETWORK_CONNECT, NETWORK_DISCONNECT, NAMES, PORT_ALLOW, OUTBOUND,
  FAULT_ADD, FAULT_REMOVE, CONNECTIONS_RESET, FILL, SCRATCH_SAVE = 48
};

static int hello(struct connection *c, uint32_t id, struct reader *r, struct failure *f) {
  uint32_t protocol = get_u32(r);
  char version[64], token[sizeof run.token];
  get_str(r, version, sizeof version);
  get_str(r, token, sizeof token);
  if (r->bad) return fail_with(f, EBADMSG, "hello", "", "decode");
  if (protocol != PROTOCOL_VERSION) return fail_with(f, EPROTO, "hello", PACKAGE_VERSION, "protocol version");
  if (c->owner) memcpy(run.token, token, sizeof token);
  else if (!run.token[0] || strcmp(token, run.token)) return fail_with(f, EACCES, "hello", "", "token");
  c->greeted = true;
  char features[1024], files[256];
  cgroups_files(&run.cgroups, files, sizeof files);
  snprintf(features, sizeof features,
           "cgroup=%s\ncontrollers=%s\nnetwork=%s\nmemory-xattrs=%s\nfiles=%s\ndevices=%s\nsealed=%s\n",
           run.cgroups.version, run.cgroups.available, run.linked ? "veth" : run.prefix ? "hub" : "none",
           run.memory_xattrs ? "yes" : "no", files, devices_control(&run.cgroups, run.rootless), run.self_fd >= 0 ? "yes" : "no");
  struct buffer b = {0};
  put_u32(&b, PROTOCOL_VERSION);
  put_str(&b, PACKAGE_VERSION);
  put_str(&b, features);
  put_u32(&b, (uint32_t)run.supervisor_pid);
  put_u32(&b, run.subnet);
  put_u8(&b, run.prefix);
  put_u32(&b, hub_address());
  send_frame(c, FRAME_REPLY, id, &b);
  buffer_free(&b);
  return 0;
}

static struct container *named(struct reader *r, const char *request, struct failure *f) {
  char name[80];
  get_str(r, name, sizeof name);
  struct container *t = r->bad ? NULL : container_find(name);
  if (!t) fail_with(f, r->bad ? EBADMSG : ENOENT, request, name, r->bad ? "decode" : "no such container");
  return t;
}

static struct process *process_of(struct container *t, uint32_t exec) {
  if (!exec) return t->main;
  for (struct process *p = t->execs; p; p = p->next)
    if (p->exec == exec) return p;
  return NULL;
}

static int start(struct connection *c, uint32_t id, struct reader *r, struct failure *f) {
  struct container *t = named(r, "container.start", f);
  return t ? container_start(c, id, t, r, f) : -1;
}

static int restart(struct connection *c, uint32_t id, struct reader *r, struct failure *f) {
  struct container *t = named(r, "container.restart", f);
  return t ? container_restart(c, id, t, r, f) : -1;
}

static int save(struct connection *c, uint32_t id, struct reader *r, struct failure *f) {
  struct container *t = named(r, "scratch.save", f);
  return t ? scratch_save(c, id, t, r, f) : -1;
}

static int send_signal(struct connection *c, uint32_t id, struct reader *r, struct failure *f) {
  struct container *t = named(r, "signal", f);
  uint32_t exec = get_u32(r), number = get_u32(r);
  if (!t) return -1;
  struct process *p = process_of(t, exec);
  if (r->bad || number >= NSIG) return fail_with(f, EINVAL, "signal", t->id, "number");
  if (!p || process_signal(p, (int)number)) return fail_with(f, p ? errno : ESRCH, "signal", t->id, "kill");
  send_reply(c, id);
  return 0;
}

static int wait_for(struct connection *c, uint32_t id, struct reader *r, struct failure *f, enum wait_kind kind) {
  struct container *t = named(r, kind == WAIT_EXIT ? "wait" : "remove", f);
  if (!t && kind == WAIT_REMOVE) helper_end(f->path); /* it may wait for a container that never came */
  if (!t) return -1;
  waiter_add(kind, c, id, t);
  if (kind == WAIT_REMOVE) container_remove(t);
  else if (t->state == STATE_EXITED) waiters_exited(t);
  return 0;
}

/* Readers that hold a container's output have moved, or gone. */
static void log_follow_on(struct container *t) {
  if (t->main) process_output(t->main);
}

static int logs(struct connection *c, uint32_t id, struct reader *r, struct failure *f) {
  struct container *t = named(r, "logs", f);
  if (!t) return -1;
  uint32_t flags = get_u32(r);
  uint64_t since = get_u64(r);
  uint32_t tail = get_u32(r), credit = get_u32(r);
  if (r->bad) return fail_with(f, EBADMSG, "logs", t->id, "decode");
  if (t->main && t->main->rests) process_read(t->main);
  struct waiter *w = waiter_add(WAIT_LOGS, c, id, t);
  w->flags = flags;
  w->since = since;
  w->credit = credit;
  if (flags & LOG_HOLD) t->held = false;
  const struct log *l = &t->log;
  w->offset = !tail ? l->first + (l->data.length - l->start) : flags & LOG_LIFE ? l->life : 0;
  w->passed = !tail ? l->written : flags & LOG_LIFE ? l->life_written : 0;
  send_reply(c, id);
  logs_pump_one(w);
  log_follow_on(t);
  return 0;
}

static int resize(struct reader *r, struct failure *f) {
  struct container *t = named(r, "resize", f);
  uint32_t exec = get_u32(r);
  uint16_t columns = get_u16(r), rows = get_u16(r);
  if (!t) return -1;
  if (r->bad) return fail_with(f, EBADMSG, "resize", t->id, "decode");
  struct process *p = process_of(t, exec);
  if (p && !terminal_resize(p, columns, rows)) return 0;
  return fail_with(f, p ? errno : ESRCH, "resize", t->id, "TIOCSWINSZ");
}

static int attach(struct connection *c, uint32_t id, struct reader *r, struct failure *f) {
  struct container *t = named(r, "attach", f);
  (void)get_u32(r);
  if (!t) return -1;
  if (!t->main || t->main->input.source.fd < 0 || t->main->input.ended) return fail_with(f, EPIPE, "attach", t->id, "no standard input");
  struct buffer b = {0};
  put_u32(&b, INPUT_WINDOW);
  send_frame(c, FRAME_REPLY, id, &b);
  buffer_free(&b);
  input_open(&t->main->input, c, id);
  return 0;
}

static int sockets(struct connection *c, uint32_t id, struct reader *r, struct failure *f) {
  struct container *t = named(r, "sockets", f);
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

static int port_watch(struct connection *c, uint32_t id, struct reader *r, struct failure *f) {
  struct container *t = named(r, "port.watch", f);
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

static int cgroup_file(struct connection *c, uint32_t id, struct reader *r, struct failure *f, bool writes) {
  struct container *t = named(r, writes ? "cgroup.write" : "cgroup.read", f);
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

static int list(struct connection *c, uint32_t id) {
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

static int label(struct connection *c, uint32_t id, struct reader *r, struct failure *f) {
  struct container *t = named(r, "label", f);
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
static int netdev(struct connection *c, uint32_t id, struct reader *r, struct failure *f) {
  struct container *t = named(r, "netdev", f);
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

static int done(struct connection *c, uint32_t id, int result) {
  if (!result) send_reply(c, id);
  return result;
}

static int dispatch(struct connection *c, uint32_t id, uint16_t method, struct reader *r, struct failure *f) {
  switch (method) {
    case HELLO: return hello(c, id, r, f);
    case CREATE: return container_create(c, id, r, f);
    case START: return start(c, id, r, f);
    case RESTART: return restart(c, id, r, f);
    case EXEC: return exec_create(c, id, r, f);
    case SIGNAL: return send_signal(c, id, r, f);
    case WAIT: return wait_for(c, id, r, f, WAIT_EXIT);
    case REMOVE: return wait_for(c, id, r, f, WAIT_REMOVE);
    case LOGS: return logs(c, id, r, f);
    case ATTACH: return attach(c, id, r, f);
    case RESIZE: return done(c, id, resize(r, f));
    case PORT_OPEN: return port_open(c, id, r, f);
    case PORT_TARGET: return done(c, id, port_target(r, f));
    case OUTBOUND: return outbound_ask(c, id, r, f);
    case PORT_ALLOW: return done(c, id, port_allow(r, f));
    case PORT_CLOSE: return done(c, id, port_close(r, f));
    case SOCKETS: return sockets(c, id, r, f);
    case PORT_WATCH: return port_watch(c, id, r, f);
    case CGROUP_READ: return cgroup_file(c, id, r, f, false);
    case CGROUP_WRITE: return cgroup_file(c, id, r, f, true);
    case LIST: return list(c, id);
    case LABEL: return label(c, id, r, f);
    case HELPER: return helper_start(c, id, r, f);
    case SCRATCH_SAVE: return save(c, id, r, f);
    case NETDEV: return netdev(c, id, r, f);
    case NETWORK_CREATE: return network_create(c, id, r, f);
    case NAMES: return done(c, id, dns_names(r, f));
    case NETWORK_DELETE: return done(c, id, network_delete(r, f));
    case NETWORK_CONNECT: return done(c, id, network_connect(r, f));
    case NETWORK_DISCONNECT: return done(c, id, network_disconnect(r, f));
    case FAULT_ADD: return done(c, id, fault_add(r, c, f));
    case FAULT_REMOVE: return done(c, id, fault_remove(r, f));
    case CONNECTIONS_RESET: return connections_reset(c, id, r, f);
    case FILL: return done(c, id, storage_fill(r, f));
    case SHUTDOWN: send_reply(c, id); _exit(0);
    default: return fail_with(f, ENOSYS, "request", "", "unknown");
  }
}

void handle_request(struct connection *c, uint32_t id, struct reader *r) {
  struct failure f;
  uint16_t method = get_u16(r);
  int result = c->greeted || method == HELLO ? dispatch(c, id, method, r, &f)
                                              : fail_with(&f, EACCES, "request", "", "hello comes first");
  if (result) send_failure(c, id, &f);
}

static void cancel_watch(struct connection *c, struct waiter *w) {
  w->done = true;
  if (w->kind != WAIT_PORT && w->kind != WAIT_EXIT) return;
  struct failure f;
  fail_with(&f, ECANCELED, w->kind == WAIT_PORT ? "port.watch" : "wait", "", "");
  send_failure(c, w->request, &f);
}

static void stream_of(struct input *i, struct connection *c, enum frame kind, uint32_t id, struct reader *r) {
  if (i->conn != c || i->stream != id) return;
  if (kind == FRAME_DATA) input_data(i, r->at, (size_t)(r->end - r->at));
  if (kind == FRAME_END) input_end(i);
}

void handle_stream(struct connection *c, enum frame kind, uint32_t id, struct reader *r) {
  uint32_t credit = kind == FRAME_CREDIT ? get_u32(r) : 0;
  for (struct waiter *w = run.waiters; w; w = w->next) {
    if (w->done || w->conn != c || w->request != id) continue;
    if (kind == FRAME_END) cancel_watch(c, w);
    if (w->kind != WAIT_LOGS) continue;
    if (kind == FRAME_CREDIT) {
      w->credit += credit;
      logs_pump_one(w);
    }
    log_follow_on(w->container);
  }
  for (struct container *t = run.containers; t; t = t->next) {
    if (t->main) stream_of(&t->main->input, c, kind, id, r);
    for (struct process *p = t->execs, *next; p; p = next) {
      next = p->next;
      if (p->conn != c || p->request != id) continue;
      if (kind == FRAME_CREDIT) {
        p->credit += credit;
        process_output(p);
        return; /* settling may have freed neighbours */
      }
      stream_of(&p->input, c, kind, id, r);
    }
  }
}

/* Requests that are answered when something happens: an end, a removal, a listening socket. */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "handin.h"

enum { MAX_LISTENERS = 256 };

struct waiter *waiter_add(enum wait_kind kind, struct connection *c, uint32_t request, struct container *t) {
  struct waiter *w = xalloc(sizeof *w);
  *w = (struct waiter){.next = run.waiters, .kind = kind, .conn = c, .request = request, .container = t};
  run.waiters = w;
  return w;
}

void waiters_sweep(void) {
  for (struct waiter **at = &run.waiters; *at;) {
    struct waiter *w = *at;
    if (!w->done) {
      at = &w->next;
      continue;
    }
    *at = w->next;
    free_later(w);
  }
}

static void answer_exit(struct waiter *w) {
  struct container *t = w->container;
  struct buffer b = {0};
  put_u8(&b, 1);
  put_u32(&b, (uint32_t)(t->main ? t->main->code : -1));
  put_u32(&b, (uint32_t)(t->main ? t->main->signal : 0));
  put_u8(&b, t->oom_killed);
  send_frame(w->conn, FRAME_REPLY, w->request, &b);
  buffer_free(&b);
  w->done = true;
}

void waiters_exited(struct container *t) {
  for (struct waiter *w = run.waiters; w; w = w->next) {
    if (w->done || w->container != t) continue;
    if (w->kind == WAIT_EXIT) answer_exit(w);
    if (w->kind == WAIT_LISTEN) w->done = true;
    if (w->kind != WAIT_PORT) continue;
    struct failure f;
    fail_with(&f, ESRCH, "port.watch", t->id, "the container ended");
    send_failure(w->conn, w->request, &f);
    w->done = true;
  }
}

void waiters_removed(struct container *t) {
  for (struct waiter *w = run.waiters; w; w = w->next) {
    if (w->done || w->container != t) continue;
    if (w->kind == WAIT_REMOVE) send_reply(w->conn, w->request);
    if (w->kind == WAIT_LOGS) { /* there is no later: what is left of its output goes now, whatever the credit */
      w->credit = INT64_MAX;
      logs_pump_one(w);
      if (!w->done) send_frame(w->conn, FRAME_END, w->request, NULL);
    }
    w->done = true;
  }
}

void waiters_forget(struct connection *c) {
  for (struct waiter *w = run.waiters; w; w = w->next) {
    if (w->conn != c || w->done) continue;
    w->done = true;
    if (w->kind == WAIT_LOGS && w->container->main) process_output(w->container->main);
  }
}

int container_diag(struct container *t) {
  if (t->diag >= 0) return t->diag;
  if (!t->main || t->main->exit.fd < 0) {
    errno = ESRCH;
    return -1;
  }
  if (setns(t->main->exit.fd, CLONE_NEWNET)) return -1;
  t->diag = diag_socket();
  int saved = errno;
  if (setns(run.hub_ns, CLONE_NEWNET)) _exit(71);
  errno = saved;
  return t->diag;
}

int container_listeners(struct container *t, struct listener *out, int max) {
  return container_diag(t) < 0 ? -1 : diag_listeners(t->diag, out, max);
}

/* Whether somebody outside gets through to it: not at the loopback, and by IPv4, which networks speak. */
static bool reachable(const struct listener *l) {
  static const uint8_t loopback6[16] = {[15] = 1};
  if (l->family == 4) return l->address[0] != 127;
  return !l->v6only && memcmp(l->address, loopback6, sizeof loopback6) != 0;
}

void waiters_check(struct container *t) {
  /* Published ports listen first: who is told that the service is there may connect at once. */
  static const enum wait_kind order[] = {WAIT_LISTEN, WAIT_PORT};
  struct listener found[MAX_LISTENERS];
  int n = container_listeners(t, found, MAX_LISTENERS);
  for (size_t pass = 0; pass < sizeof order / sizeof *order; pass++)
    for (struct waiter *w = run.waiters; w; w = w->next) {
      if (w->done || w->container != t || w->kind != order[pass]) continue;
      bool there = handin_listens(t, w->number);
      for (int i = 0; i < n && !there; i++)
        there = found[i].port == w->number && (w->flags & WATCH_LOOPBACK || reachable(&found[i]));
      if (!there) continue;
      w->done = true;
      if (w->kind == WAIT_PORT) send_reply(w->conn, w->request);
      else port_listen(w->port);
    }
}

/* A look costs some 20 µs a container, so the step grows with how many are watched: 1 ms alone, 5 ms with 16. */
static void schedule(void) {
  uint64_t watched = 0;
  for (struct waiter *w = run.waiters; w; w = w->next)
    watched += !w->done && (w->kind == WAIT_PORT || w->kind == WAIT_LISTEN);
  if (watched) timer_set(1000000u + (watched - 1) * 250000u);
}

void waiters_tick(struct source *s, uint32_t events) {
  (void)events;
  uint64_t expirations;
  if (read(s->fd, &expirations, sizeof expirations) < 0) return;
  for (struct container *t = run.containers; t; t = t->next)
    for (struct waiter *w = run.waiters; w; w = w->next)
      if (!w->done && w->container == t && (w->kind == WAIT_PORT || w->kind == WAIT_LISTEN)) {
        waiters_check(t);
        break;
      }
  schedule();
}

void waiters_start(void) { timer_set(1); }

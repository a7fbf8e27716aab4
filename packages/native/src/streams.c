/* What a container prints and reads, as streams of frames. */
#include <errno.h>
#include <string.h>

#include "requests.h"

/* Readers that hold a container's output have moved, or gone. */
static void log_follow_on(struct container *t) {
  if (t->main) process_output(t->main);
}

int ask_logs(struct connection *c, uint32_t id, struct reader *r, struct failure *f) {
  struct container *t = named_container(r, "logs", f);
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

int ask_attach(struct connection *c, uint32_t id, struct reader *r, struct failure *f) {
  struct container *t = named_container(r, "attach", f);
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

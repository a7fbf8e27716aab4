/* What containers print: kept up to a cap, the oldest going first, and streamed to whoever asks. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "run.h"

enum { RECORD_HEADER = 13, DEFAULT_CAP = 10 << 20, HOLD_AT = 1 << 20 };

static size_t record_length(const struct log *l, size_t at) {
  struct reader r = reader_of(l->data.data + at + 9, 4);
  return RECORD_HEADER + get_u32(&r);
}

void log_append(struct log *l, uint8_t stream, const uint8_t *data, size_t n) {
  size_t cap = l->cap ? l->cap : DEFAULT_CAP;
  put_u64(&l->data, now_ns(CLOCK_REALTIME));
  put_u8(&l->data, stream);
  put_bytes(&l->data, data, n);
  l->written += n;
  while (l->data.length - l->start > cap) {
    size_t gone = record_length(l, l->start);
    if (l->start + gone >= l->data.length) break; /* the newest record stays, whatever the cap */
    l->start += gone;
    l->first += gone;
    l->dropped += gone - RECORD_HEADER;
  }
  if (l->start > cap / 2) { /* moved seldom, so that a flood costs one copy per half cap */
    buffer_consume(&l->data, l->start);
    l->start = 0;
  }
}

static bool log_over(const struct container *t) {
  return t->state == STATE_EXITED && (!t->main || (t->main->out.fd < 0 && t->main->err.fd < 0));
}

static uint64_t record_time(const struct log *l, size_t at) {
  struct reader r = reader_of(l->data.data + at, 8);
  return get_u64(&r);
}

bool log_held(const struct container *t) {
  const struct log *l = &t->log;
  size_t cap = l->cap ? l->cap : DEFAULT_CAP, most = cap / 2 < HOLD_AT ? cap / 2 : HOLD_AT;
  uint64_t end = l->first + (l->data.length - l->start);
  if (t->removing) return false;
  if (t->held && end >= most) return true;
  for (const struct waiter *w = run.waiters; w; w = w->next)
    if (!w->done && w->kind == WAIT_LOGS && w->container == t && w->flags & LOG_HOLD && end - w->offset >= most) return true;
  return false;
}

void logs_pump_one(struct waiter *w) {
  struct log *l = &w->container->log;
  uint64_t end = l->first + (l->data.length - l->start);
  while (!w->done && w->credit > 0 && w->offset < end) {
    struct buffer b = {0};
    if (w->offset < l->first) { /* what this reader will never see is told in its place */
      put_u64(&b, record_time(l, l->start));
      put_u8(&b, 0);
      put_u32(&b, 8);
      put_u64(&b, l->dropped - w->passed);
      w->offset = l->first;
      w->passed = l->dropped;
    }
    while (w->offset < end && b.length < CHUNK) {
      size_t at = l->start + (size_t)(w->offset - l->first);
      size_t n = record_length(l, at);
      uint8_t stream = l->data.data[at + 8];
      if (w->flags >> stream & 1 && record_time(l, at) >= w->since) buffer_append(&b, l->data.data + at, n);
      w->offset += n;
      w->passed += n - RECORD_HEADER;
    }
    w->credit -= (int64_t)b.length;
    if (b.length) send_frame(w->conn, FRAME_DATA, w->request, &b);
    buffer_free(&b);
  }
  if (!w->done && w->offset >= end && (!(w->flags & LOG_FOLLOW) || log_over(w->container))) {
    send_frame(w->conn, FRAME_END, w->request, NULL);
    w->done = true;
  }
}

void logs_pump(struct container *t) {
  for (struct waiter *w = run.waiters; w; w = w->next)
    if (w->kind == WAIT_LOGS && w->container == t && !w->done) logs_pump_one(w);
}

/* A client's bytes on their way into a process's standard input. */
#include <errno.h>
#include <unistd.h>

#include "run.h"

static void grant(struct input *i, size_t n) {
  if (!n || !i->conn) return;
  struct buffer b = {0};
  put_u32(&b, (uint32_t)n);
  send_frame(i->conn, FRAME_CREDIT, i->stream, &b);
  buffer_free(&b);
}

static void close_with(struct input *i) {
  if (i->source.fd < 0) return;
  if (i->source.ready) source_close(&i->source);
  else close(i->source.fd); /* never opened by a client */
  i->source.fd = -1;
}

void input_lost(struct input *i) {
  bool open = i->source.fd >= 0 && !i->ended;
  close_with(i);
  buffer_consume(&i->pending, i->pending.length);
  if (!open || !i->conn) return;
  /* An exec's stream goes on with its output; of an attachment this was all. */
  struct buffer b = {0};
  put_u8(&b, 0);
  send_frame(i->conn, i->shared ? FRAME_DATA : FRAME_END, i->stream, i->shared ? &b : NULL);
  buffer_free(&b);
  i->conn = NULL;
}

static void push(struct input *i) {
  size_t gone = 0;
  while (i->source.fd >= 0 && gone < i->pending.length) {
    ssize_t n = write(i->source.fd, i->pending.data + gone, i->pending.length - gone);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) break;
    if (n < 0) {
      input_lost(i); /* the process has closed its end: the rest is of no use */
      return;
    }
    gone += (size_t)n;
  }
  buffer_consume(&i->pending, gone);
  grant(i, gone);
  if (!i->pending.length && i->ended) close_with(i);
  source_want(&i->source, i->pending.length ? EPOLLOUT : 0);
}

static void writable(struct source *s, uint32_t events) {
  if (events & (EPOLLERR | EPOLLHUP)) input_lost(s->owner);
  else push(s->owner);
}

void input_open(struct input *i, struct connection *c, uint32_t stream) {
  if (i->conn) send_frame(i->conn, FRAME_END, i->stream, NULL); /* there is one writer at a time: the last that came */
  i->conn = c;
  i->stream = stream;
  if (i->source.fd >= 0 && !i->source.ready && source_add(&i->source, i->source.fd, 0, writable, i)) _exit(71);
}

void input_data(struct input *i, const uint8_t *data, size_t n) {
  if (i->ended || i->source.fd < 0) return;
  buffer_append(&i->pending, data, n);
  push(i);
}

void input_end(struct input *i) {
  i->ended = true;
  if (!i->pending.length) close_with(i);
}

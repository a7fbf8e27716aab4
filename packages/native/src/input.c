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

static void push(struct input *i) {
  size_t gone = 0;
  while (i->source.fd >= 0 && gone < i->pending.length) {
    ssize_t n = write(i->source.fd, i->pending.data + gone, i->pending.length - gone);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) break;
    if (n < 0) {
      source_close(&i->source); /* the process has closed its end: the rest is of no use */
      gone = i->pending.length;
      break;
    }
    gone += (size_t)n;
  }
  buffer_consume(&i->pending, gone);
  grant(i, gone);
  if (!i->pending.length && i->ended) source_close(&i->source);
  source_want(&i->source, i->pending.length ? EPOLLOUT : 0);
}

static void writable(struct source *s, uint32_t events) {
  if (events & EPOLLERR) source_close(s);
  push(s->owner);
}

void input_open(struct input *i, struct connection *c, uint32_t stream) {
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
  if (!i->pending.length) source_close(&i->source);
}

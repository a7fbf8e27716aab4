/* Frames in and out of a client's connection (docs/protocol.md, Frames). */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "faults.h"
#include "networks.h"
#include "run.h"

static void lose(struct connection *c) {
  if (c->closed) return;
  /* The owner is gone: as pid 1 of the run's pid namespace our end is the end of everything in it. */
  if (c->owner) _exit(0);
  c->closed = true;
  source_close(&c->source);
  waiters_forget(c);
  processes_forget(c);
  helpers_forget(c);
  scratch_forget(c);
  faults_forget(c);
  ports_forget(c);
  networks_forget(c);
}

void connection_reap(void) {
  for (struct connection **at = &run.connections; *at;) {
    struct connection *c = *at;
    if (!c->closed) {
      at = &c->next;
      continue;
    }
    *at = c->next;
    buffer_free(&c->in);
    buffer_free(&c->out);
    free_later(c);
  }
}

static void flush(struct connection *c) {
  while (c->out.length) {
    ssize_t n = send(c->source.fd, c->out.data, c->out.length, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
    if (n < 0) {
      lose(c);
      return;
    }
    buffer_consume(&c->out, (size_t)n);
  }
  source_want(&c->source, c->out.length ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

void send_frame(struct connection *c, enum frame kind, uint32_t id, const struct buffer *payload) {
  if (!c || c->closed) return;
  size_t n = payload ? payload->length : 0;
  put_u32(&c->out, (uint32_t)n);
  put_u8(&c->out, (uint8_t)kind);
  put_u32(&c->out, id);
  if (n) buffer_append(&c->out, payload->data, n);
  flush(c);
}

void send_reply(struct connection *c, uint32_t id) { send_frame(c, FRAME_REPLY, id, NULL); }

void send_failure(struct connection *c, uint32_t id, const struct failure *f) {
  struct buffer b = {0};
  put_u32(&b, f->errnum);
  put_u32(&b, f->index);
  put_str(&b, f->operation);
  put_str(&b, f->path);
  put_str(&b, f->step);
  send_frame(c, FRAME_ERROR, id, &b);
  buffer_free(&b);
}

static void take_frames(struct connection *c) {
  size_t at = 0;
  while (!c->closed && c->in.length - at >= FRAME_HEADER) {
    struct reader h = reader_of(c->in.data + at, FRAME_HEADER);
    uint32_t n = get_u32(&h);
    uint8_t kind = get_u8(&h);
    uint32_t id = get_u32(&h);
    if (n > FRAME_MAX) {
      lose(c);
      return;
    }
    if (c->in.length - at - FRAME_HEADER < n) break;
    struct reader r = reader_of(c->in.data + at + FRAME_HEADER, n);
    at += FRAME_HEADER + n;
    if (kind == FRAME_REQUEST) handle_request(c, id, &r);
    else if (kind == FRAME_DATA || kind == FRAME_END || kind == FRAME_CREDIT) handle_stream(c, kind, id, &r);
    else lose(c);
  }
  if (!c->closed) buffer_consume(&c->in, at);
}

static void ready(struct source *s, uint32_t events) {
  struct connection *c = s->owner;
  if (events & EPOLLOUT) flush(c);
  if (c->closed || !(events & (EPOLLIN | EPOLLHUP | EPOLLERR))) return;
  for (int round = 0; round < 16 && !c->closed; round++) {
    buffer_reserve(&c->in, CHUNK);
    ssize_t n = recv(s->fd, c->in.data + c->in.length, CHUNK, MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (n <= 0) {
      lose(c);
      return;
    }
    c->in.length += (size_t)n;
    take_frames(c);
    if (n < CHUNK) return;
  }
}

void connection_open(int fd, bool owner) {
  struct connection *c = xalloc(sizeof *c);
  c->owner = owner;
  c->next = run.connections;
  run.connections = c;
  if (source_add(&c->source, fd, EPOLLIN, ready, c)) _exit(71);
}

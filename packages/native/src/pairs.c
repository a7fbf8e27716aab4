/* Copying between a client and a container: two sockets, two bounded buffers, half-closes passed on. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ports.h"

struct way {
  uint8_t data[CHUNK];
  size_t start, length;
  bool ended, passed; /* its end was read; its end was passed on */
};

struct pair {
  struct pair *next;
  struct port *port;
  struct source client, target;
  struct way up, down; /* client to target, target to client */
  bool connected, over;
};

static void pair_end(struct pair *p, bool reset) {
  if (p->over) return;
  p->over = true;
  if (reset) {
    /* What the service refuses or breaks, the client sees refused or broken. */
    struct linger now = {.l_onoff = 1};
    if (p->client.fd >= 0) (void)setsockopt(p->client.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  }
  source_close(&p->client);
  source_close(&p->target);
  for (struct pair **at = &p->port->pairs; *at; at = &(*at)->next)
    if (*at == p) {
      *at = p->next;
      break;
    }
  free_later(p);
}

/* false: the connection broke */
static bool fill(struct way *w, int fd) {
  if (w->ended || w->length) return true;
  ssize_t n = recv(fd, w->data, sizeof w->data, MSG_DONTWAIT);
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  w->start = 0;
  w->length = (size_t)n;
  w->ended = n == 0;
  return true;
}

static bool drain(struct way *w, int fd) {
  while (w->length) {
    ssize_t n = send(fd, w->data + w->start, w->length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno == EAGAIN;
    w->start += (size_t)n;
    w->length -= (size_t)n;
  }
  if (w->ended && !w->passed) {
    w->passed = true;
    (void)shutdown(fd, SHUT_WR);
  }
  return true;
}

static void pump(struct pair *p) {
  if (!fill(&p->up, p->client.fd) || !drain(&p->up, p->target.fd) || !fill(&p->down, p->target.fd) ||
      !drain(&p->down, p->client.fd)) {
    pair_end(p, true);
    return;
  }
  if (p->up.passed && p->down.passed) {
    pair_end(p, false);
    return;
  }
  source_want(&p->client, (!p->up.ended && !p->up.length ? EPOLLIN : 0u) | (p->down.length ? EPOLLOUT : 0u));
  source_want(&p->target, (!p->down.ended && !p->down.length ? EPOLLIN : 0u) | (p->up.length ? EPOLLOUT : 0u));
}

static void either_ready(struct source *s, uint32_t events) {
  struct pair *p = s->owner;
  if (p->over) return;
  if (s == &p->target && !p->connected) {
    int error = 0;
    socklen_t n = sizeof error;
    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &n) || error) {
      pair_end(p, true);
      return;
    }
    p->connected = true;
  }
  if (events & EPOLLERR) {
    pair_end(p, true);
    return;
  }
  if (p->connected) pump(p);
  else if (events & EPOLLHUP) pair_end(p, true); /* a held client that left */
}

static void dial(struct pair *p) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(p->port->target_number),
                          .sin_addr.s_addr = htonl(p->port->target)};
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  int on = 1;
  if (fd < 0) {
    pair_end(p, true);
    return;
  }
  (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  (void)setsockopt(p->client.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if ((connect(fd, (struct sockaddr *)&a, sizeof a) && errno != EINPROGRESS) ||
      source_add(&p->target, fd, EPOLLOUT, either_ready, p)) {
    close(fd);
    p->target.fd = -1;
    pair_end(p, true);
  }
}

void pair_open(struct port *port, int client) {
  struct pair *p = xalloc(sizeof *p);
  p->port = port;
  p->target.fd = -1;
  p->next = port->pairs;
  port->pairs = p;
  if (source_add(&p->client, client, 0, either_ready, p)) _exit(71);
  if (port->container) dial(p);
}

void pairs_resume(struct port *port) {
  for (struct pair *p = port->pairs, *next; p; p = next) {
    next = p->next;
    if (p->target.fd < 0) dial(p);
  }
}

void pairs_close(struct port *port, bool held) {
  for (struct pair *p = port->pairs, *next; p; p = next) {
    next = p->next;
    if (held || p->target.fd >= 0) pair_end(p, true);
  }
}

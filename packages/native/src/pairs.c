/* Copying between a client and a container: two sockets, two bounded buffers, half-closes passed on. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
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
  bool connected, over, waits, tried; /* waits: for the janitor's socket; tried: the first of two addresses */
  uint32_t id;
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

static void dial(struct pair *p);

static void either_ready(struct source *s, uint32_t events) {
  struct pair *p = s->owner;
  if (p->over) return;
  if (s == &p->target && !p->connected) {
    int error = 0;
    socklen_t n = sizeof error;
    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &n) || error) {
      if (p->port->place != PLACE_REACH || p->port->family || p->tried) {
        pair_end(p, true);
        return;
      }
      /* Nobody at 127.0.0.1: at ::1, then. */
      p->tried = true;
      source_close(&p->target);
      dial(p);
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

static void dialled(struct pair *p, int fd, const struct sockaddr *to, socklen_t size) {
  if (fd >= 0 && (!connect(fd, to, size) || errno == EINPROGRESS) && !source_add(&p->target, fd, EPOLLOUT, either_ready, p)) return;
  if (fd >= 0) close(fd);
  p->target.fd = -1;
  pair_end(p, true);
}

/* A path is the container's own to resolve: connected to while standing in its file system. */
static void dial_inside(struct pair *p) {
  struct sockaddr_un a = {.sun_family = AF_UNIX};
  memcpy(a.sun_path, p->port->inside, sizeof a.sun_path);
  const struct process *main = p->port->container->main;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd >= 0 && (!main || main->exit.fd < 0 || setns(main->exit.fd, CLONE_NEWNS))) {
    close(fd);
    fd = -1;
  }
  if (fd < 0) {
    pair_end(p, true);
    return;
  }
  int result = connect(fd, (struct sockaddr *)&a, sizeof a);
  if (setns(run.mount_ns, CLONE_NEWNS)) _exit(71);
  if (!result && !source_add(&p->target, fd, EPOLLOUT, either_ready, p)) return;
  close(fd);
  p->target.fd = -1;
  pair_end(p, true);
}

static void ask_outside(struct pair *p) {
  static uint32_t last;
  p->id = ++last;
  p->waits = true;
  uint8_t family = p->port->family ? p->port->family : p->tried ? AF_INET6 : AF_INET;
  struct janitor_message m = {.word = JANITOR_SOCKET, .kind = SOCKET_REACH, .port = p->id, .family = family};
  if (send(run.janitor.fd, &m, sizeof m, MSG_NOSIGNAL | MSG_DONTWAIT) != sizeof m) pair_end(p, true);
}

static void dial_outside(struct pair *p, int fd) {
  const struct port *port = p->port;
  struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port->number), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port->number), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  if (port->family == AF_INET) memcpy(&v4.sin_addr, port->host, sizeof v4.sin_addr);
  if (port->family == AF_INET6) memcpy(&v6.sin6_addr, port->host, sizeof v6.sin6_addr);
  int on = 1;
  (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  (void)setsockopt(p->client.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (port->family == AF_INET6 || p->tried) dialled(p, fd, (struct sockaddr *)&v6, sizeof v6);
  else dialled(p, fd, (struct sockaddr *)&v4, sizeof v4);
}

void pair_outside(uint32_t id, int fd) {
  for (struct port *port = run.ports; port; port = port->next)
    for (struct pair *p = port->pairs; p; p = p->next) {
      if (!p->waits || p->id != id) continue;
      p->waits = false;
      if (fd >= 0) dial_outside(p, fd);
      else pair_end(p, true);
      return;
    }
  if (fd >= 0) close(fd);
}

static void dial(struct pair *p) {
  if (p->port->place == PLACE_REACH || p->port->given) {
    /* A service with a socket of the machine's is there, at the other of the loopback's addresses. */
    if (p->port->given == 2) p->tried = true;
    ask_outside(p);
    return;
  }
  if (*p->port->inside) {
    dial_inside(p);
    return;
  }
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(p->port->target_number),
                          .sin_addr.s_addr = htonl(p->port->target)};
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
  if (fd >= 0) (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  (void)setsockopt(p->client.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  dialled(p, fd, (struct sockaddr *)&a, sizeof a);
}

void pair_open(struct port *port, int client) {
  struct pair *p = xalloc(sizeof *p);
  p->port = port;
  p->target.fd = -1;
  p->next = port->pairs;
  port->pairs = p;
  if (source_add(&p->client, client, 0, either_ready, p)) _exit(71);
  if (port->container || port->place == PLACE_REACH) dial(p);
  else if (!port->hold) pair_end(p, true); /* its container has ended */
}

void pairs_resume(struct port *port) {
  for (struct pair *p = port->pairs, *next; p; p = next) {
    next = p->next;
    if (p->target.fd < 0 && !p->waits) dial(p);
  }
}

void pairs_close(struct port *port, bool held) {
  for (struct pair *p = port->pairs, *next; p; p = next) {
    next = p->next;
    if (held || p->target.fd >= 0) pair_end(p, true);
  }
}

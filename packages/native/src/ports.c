/* Ports of the host's loopback and of the hub, copied to a container's own address. */
#include "ports.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "dns.h"

struct port *port_find(uint32_t id) {
  for (struct port *p = run.ports; p; p = p->next)
    if (p->id == id && !p->closed) return p;
  return NULL;
}

static void incoming(struct source *s, uint32_t events) {
  (void)events;
  struct port *p = s->owner;
  int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  pair_open(p, fd);
}

static void answer_open(struct port *p, int errnum) {
  if (errnum) {
    struct failure f;
    char number[16];
    snprintf(number, sizeof number, "%u", p->number);
    fail_with(&f, errnum, "port.open", number, "bind");
    send_failure(p->conn, p->request, &f);
    return;
  }
  struct buffer b = {0};
  put_u16(&b, p->number);
  send_frame(p->conn, FRAME_REPLY, p->request, &b);
  buffer_free(&b);
}

void port_listen(struct port *p) {
  if (p->listening || p->closed) return;
  p->listening = true;
  if (p->udp) {
    if (flows_open(p)) _exit(71);
    return;
  }
  for (int i = 0; i < 2; i++) {
    int fd = p->listeners[i].fd;
    if (fd >= 0 && !listen(fd, 1024) && source_add(&p->listeners[i], fd, EPOLLIN, incoming, p)) _exit(71);
  }
}

static void bound(struct port *p, const int *fds, int count) {
  /* Not watched yet: a socket that does not listen hangs up without end. */
  for (int i = 0; i < count && i < 2; i++) p->listeners[i].fd = fds[i];
  if (p->hold) port_listen(p);
}

static int bind_in_hub(struct port *p, uint32_t address) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(p->number), .sin_addr.s_addr = htonl(address)};
  /* The slot's own address: on the bridge for as long as the run lives. */
  if (link_address(run.route, run.bridge, address, 32) && errno != EEXIST) return -1;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  int on = 1;
  socklen_t n = sizeof a;
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) || bind(fd, (struct sockaddr *)&a, sizeof a) ||
      getsockname(fd, (struct sockaddr *)&a, &n)) {
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
  }
  p->number = ntohs(a.sin_port);
  bound(p, &fd, 1);
  return 0;
}

int port_open(struct connection *c, uint32_t id, struct reader *r, struct failure *f) {
  uint32_t name = get_u32(r);
  uint8_t where = get_u8(r);
  uint32_t address = get_u32(r);
  uint16_t number = get_u16(r);
  uint32_t flags = get_u32(r);
  char host[INET6_ADDRSTRLEN];
  get_str(r, host, sizeof host);
  struct janitor_message m = {.word = JANITOR_BIND, .port = name, .number = number, .udp = (flags & 2) != 0};
  m.family = !*host ? 0 : strchr(host, ':') ? AF_INET6 : AF_INET;
  if (m.family && inet_pton(m.family, host, m.host) != 1) r->bad = true;
  if (r->bad || (where != 1 && where != 2)) return fail_with(f, EBADMSG, "port.open", "", "decode");
  if (port_find(name)) return fail_with(f, EEXIST, "port.open", "", "id");
  struct port *p = xalloc(sizeof *p);
  *p = (struct port){.next = run.ports, .id = name, .conn = c, .request = id, .number = number, .hold = flags & 1, .udp = flags & 2};
  p->listeners[0].fd = p->listeners[1].fd = -1;
  run.ports = p;
  if (where == 2) {
    int errnum = bind_in_hub(p, address) ? errno : 0;
    answer_open(p, errnum);
    if (errnum) p->closed = true;
    ports_sweep();
    return 0;
  }
  if (send(run.janitor.fd, &m, sizeof m, MSG_NOSIGNAL) < 0) {
    p->closed = true;
    ports_sweep();
    return fail(f, "port.open", "", "janitor");
  }
  p->asked = true;
  return 0;
}

/* A killed janitor answers nobody; the next run does the rest of its work. */
static void janitor_lost(struct source *s) {
  source_close(s);
  for (struct port *p = run.ports; p; p = p->next)
    if (p->asked && !p->closed) {
      p->asked = false;
      answer_open(p, EPIPE);
      p->closed = true;
    }
  ports_sweep();
}

void ports_answer(struct source *s, uint32_t events) {
  (void)events;
  struct janitor_message m;
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE(2 * sizeof(int))];
  } control;
  struct iovec iov = {&m, sizeof m};
  struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  ssize_t n = recvmsg(s->fd, &h, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (n == 0 || (n < 0 && errno == ECONNRESET)) {
    janitor_lost(s);
    return;
  }
  if (n != sizeof m) return;
  int fds[2], count = 0;
  struct cmsghdr *c = CMSG_FIRSTHDR(&h);
  if (c && c->cmsg_type == SCM_RIGHTS) {
    count = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    memcpy(fds, CMSG_DATA(c), (size_t)count * sizeof(int));
  }
  if (m.word == JANITOR_SOCKET && count == 1 && m.kind == SOCKET_DNS) {
    dns_outside(fds[0]);
    return;
  }
  struct port *p = m.word == JANITOR_BOUND ? port_find(m.port) : NULL;
  if (!p) {
    for (int i = 0; i < count; i++) close(fds[i]);
    return;
  }
  p->asked = false;
  if (m.number) p->number = m.number;
  if (!m.errnum) bound(p, fds, count);
  answer_open(p, (int)m.errnum);
  if (m.errnum) p->closed = true;
  ports_sweep();
}

int port_target(struct reader *r, struct failure *f) {
  uint32_t name = get_u32(r);
  char id[80];
  get_str(r, id, sizeof id);
  uint32_t address = get_u32(r);
  uint16_t number = get_u16(r);
  if (r->bad) return fail_with(f, EBADMSG, "port.target", "", "decode");
  struct port *p = port_find(name);
  if (!p) return fail_with(f, ENOENT, "port.target", id, "no such port");
  struct container *t = *id ? container_find(id) : NULL;
  if (*id && !t) return fail_with(f, ESRCH, "port.target", id, "no such container");
  p->container = t;
  p->target = address;
  p->target_number = number;
  if (p->udp) {
    flows_close(p);
    port_listen(p);
    return 0;
  }
  if (!t) return 0;
  if (p->listening) {
    pairs_resume(p);
    return 0;
  }
  struct waiter *w = waiter_add(WAIT_LISTEN, NULL, 0, t);
  w->number = number;
  w->port = p;
  waiters_start();
  return 0;
}

static void close_port(struct port *p) {
  p->closed = true;
  for (int i = 0; i < 2; i++) source_close(&p->listeners[i]);
  for (struct waiter *w = run.waiters; w; w = w->next)
    if (w->port == p) w->done = true;
  pairs_close(p, true);
  flows_close(p);
}

void ports_sweep(void) {
  for (struct port **at = &run.ports; *at;) {
    struct port *p = *at;
    if (!p->closed) {
      at = &p->next;
      continue;
    }
    close_port(p);
    *at = p->next;
    free_later(p);
  }
}

int port_close(struct reader *r, struct failure *f) {
  struct port *p = port_find(get_u32(r));
  if (!p) return fail_with(f, ENOENT, "port.close", "", "no such port");
  p->closed = true;
  ports_sweep();
  return 0;
}

void ports_lost(struct container *t) {
  for (struct port *p = run.ports; p; p = p->next) {
    if (p->container != t) continue;
    p->container = NULL;
    pairs_close(p, false);
    flows_close(p);
  }
}

void ports_forget(struct connection *c) {
  for (struct port *p = run.ports; p; p = p->next)
    if (p->conn == c) p->closed = true;
  ports_sweep();
}

void janitor_delete(const char *path) {
  struct janitor_message m = {.word = JANITOR_DELETE};
  snprintf(m.path, sizeof m.path, "%s", path);
  (void)send(run.janitor.fd, &m, sizeof m, MSG_NOSIGNAL | MSG_DONTWAIT);
}

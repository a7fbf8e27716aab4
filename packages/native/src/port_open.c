/* Ports being opened: of the host's loopback, which the janitor binds, of the hub, and unix sockets of the caller's. */
#include "ports.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "dns.h"
#include "networks.h"

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

/* Answers an error of those that listen at once. */
static int bound(struct port *p, const int *fds, int count, bool spare) {
  if (spare && count > 0) p->spare = fds[--count];
  /* Not watched yet: a socket that does not listen hangs up without end. */
  for (int i = 0; i < count && i < 2; i++) p->listeners[i].fd = fds[i];
  return p->hold ? port_listen_now(p) : 0;
}

static int keep(struct port *p, int fd, const struct sockaddr *a, socklen_t size) {
  if (fd < 0) return -1;
  int on = 1;
  if ((a->sa_family == AF_INET && !p->udp && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on)) || bind(fd, a, size)) {
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
  }
  errno = bound(p, &fd, 1, false);
  return errno ? -1 : 0;
}

static int bind_in_hub(struct port *p, uint32_t address) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(p->number), .sin_addr.s_addr = htonl(address)};
  socklen_t n = sizeof a;
  /* The slot's own address: on the bridge for as long as the run lives. */
  if (p->place == PLACE_HUB && link_address(run.route, run.bridge, address, 32) && errno != EEXIST) return -1;
  int type = p->udp ? SOCK_DGRAM : SOCK_STREAM;
  if (keep(p, socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), (struct sockaddr *)&a, sizeof a)) return -1;
  if (getsockname(p->listeners[0].fd, (struct sockaddr *)&a, &n)) return -1;
  p->number = ntohs(a.sin_port);
  return 0;
}

/* In a directory of the caller's own, for nobody else. */
static int bind_path(struct port *p) {
  struct sockaddr_un a = {.sun_family = AF_UNIX};
  snprintf(a.sun_path, sizeof a.sun_path, "%s", p->path);
  mode_t old = umask(0177);
  int result = keep(p, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), (struct sockaddr *)&a, sizeof a);
  umask(old);
  return result;
}

/* Where in the world it is: text for the janitor or for us. */
static bool read_place(struct port *p, struct janitor_message *m, const char *host) {
  if (p->place == PLACE_UNIX) {
    snprintf(p->path, sizeof p->path, "%s", host);
    return *host == '/' && !p->udp;
  }
  m->family = !*host ? 0 : strchr(host, ':') ? AF_INET6 : AF_INET;
  if (m->family && inet_pton(m->family, host, m->host) != 1) return false;
  p->family = m->family;
  memcpy(p->host, m->host, sizeof p->host);
  return p->place == PLACE_HOST || (p->place == PLACE_HUB && !*host) || (p->place == PLACE_REACH && !p->udp);
}

int port_open(struct connection *c, uint32_t id, struct reader *r, struct failure *f) {
  struct port *p = xalloc(sizeof *p);
  *p = (struct port){.conn = c, .request = id};
  p->id = get_u32(r);
  p->place = get_u8(r);
  uint32_t address = get_u32(r);
  p->number = get_u16(r);
  uint32_t flags = get_u32(r);
  p->hold = flags & 1;
  p->udp = flags & 2;
  p->handed = flags & 4 && p->place == PLACE_HOST && !p->udp && !p->hold;
  p->spare = -1;
  char host[sizeof p->path];
  get_str(r, host, sizeof host);
  struct janitor_message m = {.word = JANITOR_BIND, .port = p->id, .number = p->number, .udp = p->udp, .spare = p->handed};
  p->listeners[0].fd = p->listeners[1].fd = -1;
  int result = r->bad || !read_place(p, &m, host) ? fail_with(f, EBADMSG, "port.open", "", "decode") : 0;
  if (!result && port_find(p->id)) result = fail_with(f, EEXIST, "port.open", "", "id");
  if (result) {
    free(p);
    return result;
  }
  p->next = run.ports;
  run.ports = p;
  if (p->place != PLACE_HOST) {
    if (p->place == PLACE_REACH) p->hold = true, address = hub_address();
    int errnum = (p->place == PLACE_UNIX ? bind_path(p) : bind_in_hub(p, address)) ? errno : 0;
    answer_open(p, errnum);
    if (errnum) p->closed = true;
    ports_sweep();
    return 0;
  }
  if ((run.janitor.fd < 0 ? (errno = EPIPE, -1) : send(run.janitor.fd, &m, sizeof m, MSG_NOSIGNAL)) < 0) {
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
  outbound_answered(EPIPE);
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
    char space[CMSG_SPACE(3 * sizeof(int))];
  } control;
  struct iovec iov = {&m, sizeof m};
  struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  ssize_t n = recvmsg(s->fd, &h, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (n == 0 || (n < 0 && errno == ECONNRESET)) {
    janitor_lost(s);
    return;
  }
  if (n != sizeof m) return;
  int fds[3], count = 0;
  struct cmsghdr *c = CMSG_FIRSTHDR(&h);
  if (c && c->cmsg_type == SCM_RIGHTS) {
    count = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    memcpy(fds, CMSG_DATA(c), (size_t)count * sizeof(int));
  }
  if (m.word == JANITOR_SOCKET && count == 1 && m.kind == SOCKET_DNS) {
    dns_outside(fds[0]);
    return;
  }
  if (m.word == JANITOR_OUTBOUND && !count) {
    outbound_answered(m.errnum);
    return;
  }
  if (m.word == JANITOR_SOCKET && m.kind == SOCKET_REACH && count <= 1) {
    pair_outside(m.port, count ? fds[0] : -1);
    return;
  }
  struct port *p = m.word == JANITOR_BOUND ? port_find(m.port) : NULL;
  if (!p) {
    for (int i = 0; i < count; i++) close(fds[i]);
    return;
  }
  p->asked = false;
  if (m.number) p->number = m.number;
  if (!m.errnum) m.errnum = (uint32_t)bound(p, fds, count, m.spare);
  answer_open(p, (int)m.errnum);
  if (m.errnum) p->closed = true;
  ports_sweep();
}

void janitor_delete(const char *path) {
  struct janitor_message m = {.word = JANITOR_DELETE};
  snprintf(m.path, sizeof m.path, "%s", path);
  (void)send(run.janitor.fd, &m, sizeof m, MSG_NOSIGNAL | MSG_DONTWAIT);
}

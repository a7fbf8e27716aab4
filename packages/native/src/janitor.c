/* The janitor: outside the run's namespaces, it binds host ports, and tidies when the run has ended. */
#include "janitor.h"
#include "commands.h"
#include "inject.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "outbound.h"
#include "relay.h"
#include "routes.h"
#include "run.h"
#include "sys.h"
#include "userns.h"

enum { SUBNETS = 64, PREFIX = 22, GRACE_MS = 2000, TIDY_MS = 3000 };

/* 198.18.0.0/15 is set aside for benchmarks (RFC 2544): nobody's network, cut into two /22 for each run: the hub's, then
 * its private networks', to which the hub leads. The name of the host's end is the lock: two runs cannot make the same. */
static uint32_t make_network(struct janitor_message *m, int peer_ns, pid_t self) {
  uint32_t made = 0;
  int route = route_socket();
  if (route < 0) return 0;
  for (uint32_t i = 0; i < SUBNETS; i++) {
    uint32_t block = ((uint32_t)self + i) % SUBNETS;
    uint32_t subnet = 0xC6120000u + (block << (33 - PREFIX)), private = subnet + (1u << (32 - PREFIX));
    char name[IFNAMSIZ];
    snprintf(name, sizeof name, "mayfly%u", block);
    if (if_nametoindex(name) || !address_unrouted(route, subnet + 1) || !address_unrouted(route, private)) continue;
    if (veth_create(route, name, 0, "host", peer_ns)) {
      if (errno == EEXIST) continue;
      break;
    }
    uint32_t index = if_nametoindex(name);
    const struct route networks = {.table = TABLE_MAIN, .destination = private, .prefix = PREFIX, .gateway = subnet + 2, .index = index};
    /* Whatever the host passes on elsewhere: nothing from one run's containers to another's. */
    if (!index || link_forwarding(route, index, false) || link_address(route, index, subnet + 1, PREFIX) || route_add(route, &networks)) break;
    m->subnet = subnet;
    m->gateway = subnet + 1;
    m->prefix = PREFIX;
    m->linked = 1;
    made = index;
    break;
  }
  close(route);
  return made;
}

/* Without privilege nothing leads from the host into the hub, so every run may have the same addresses. */
static void private_network(struct janitor_message *m) {
  m->subnet = 0xC6120000u;
  m->gateway = m->subnet + 1;
  m->prefix = PREFIX;
}

static int bind_one(const struct janitor_message *m, int family, uint16_t *number) {
  struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(*number), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(*number), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  if (m->family == AF_INET) memcpy(&v4.sin_addr, m->host, sizeof v4.sin_addr);
  if (m->family == AF_INET6) memcpy(&v6.sin6_addr, m->host, sizeof v6.sin6_addr);
  int fd = socket(family, (m->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  int on = 1, off = 0;
  if (family == AF_INET6) (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  /* Past connections in TIME_WAIT must not hold a fixed port; afterwards nobody may share it. */
  if (*number && !m->udp) (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  struct sockaddr *a = family == AF_INET ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6;
  socklen_t n = family == AF_INET ? sizeof v4 : sizeof v6;
  if (bind(fd, a, n) || getsockname(fd, a, &n)) {
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
  }
  (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &off, sizeof off);
  *number = ntohs(family == AF_INET ? v4.sin_port : v6.sin6_port);
  return fd;
}

static void send_sockets(int to, struct janitor_message *m, const int *fds, int count) {
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE(3 * sizeof(int))];
  } control = {0};
  struct iovec iov = {m, sizeof *m};
  struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
  if (count) {
    h.msg_control = &control;
    h.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int));
    struct cmsghdr *c = CMSG_FIRSTHDR(&h);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
    memcpy(CMSG_DATA(c), fds, (size_t)count * sizeof(int));
  }
  (void)sendmsg(to, &h, MSG_NOSIGNAL);
  for (int i = 0; i < count; i++) close(fds[i]);
}

/* Both addresses of the loopback under one number, which takes several tries when any number will do. */
static int bind_loopback(struct janitor_message *m, int *fds) {
  for (int attempt = 0; attempt < 32; attempt++) {
    uint16_t number = m->number;
    m->errnum = 0;
    fds[0] = bind_one(m, AF_INET, &number);
    if (fds[0] < 0) {
      m->errnum = (uint32_t)errno;
      return 0;
    }
    fds[1] = bind_one(m, AF_INET6, &number);
    if (fds[1] >= 0 || errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL) { /* a host without IPv6 has one of them */
      m->number = number;
      return fds[1] >= 0 ? 2 : 1;
    }
    m->errnum = (uint32_t)errno;
    close(fds[0]);
    if (m->number) return 0;
  }
  return 0;
}

static void bind_ports(int to, struct janitor_message *m) {
  int fds[3], count;
  if (!m->family) {
    count = bind_loopback(m, fds);
  } else {
    fds[0] = bind_one(m, m->family, &m->number);
    m->errnum = fds[0] < 0 ? (uint32_t)errno : 0;
    count = fds[0] >= 0;
  }
  if (m->spare) {
    m->spare = 0;
    int spare = m->errnum || m->family == AF_INET6 ? -1 : socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (spare >= 0) fds[count++] = spare, m->spare = 1;
  }
  m->word = JANITOR_BOUND;
  send_sockets(to, m, fds, count);
}

/* Who has it speaks from here, wherever it may be itself. */
static void make_socket(int to, struct janitor_message *m) {
  int fd = socket(m->family == AF_INET6 ? AF_INET6 : AF_INET, (m->kind == SOCKET_DNS ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  m->errnum = fd < 0 ? (uint32_t)errno : 0;
  send_sockets(to, m, &fd, fd >= 0);
}

/* Containers' directories first, then the run's; what is still busy is tried again until its processes are gone. */
static bool remove_cgroups(const struct cgroups *g) {
  for (size_t i = 0; i < g->count; i++) {
    DIR *d = fdopendir(dup(g->list[i].run_fd));
    if (!d) continue;
    rewinddir(d);
    for (struct dirent *e; (e = readdir(d));)
      if (e->d_type == DT_DIR && e->d_name[0] != '.') (void)unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
    closedir(d);
  }
  return cgroups_remove_run(g);
}

static void pause_ms(long ms) {
  struct timespec t = {.tv_nsec = ms * 1000000};
  (void)nanosleep(&t, NULL);
}

static int remove_path(const char *path) { return remove_tree(AT_FDCWD, path); }

static void tidy(const struct janitor *j) {
  for (int waited = 0; !remove_cgroups(&j->cgroups) && waited < TIDY_MS; waited += 5) pause_ms(5);
  STEP(INJECT_JANITOR);
  if (j->socket_path[0]) {
    char sockets[120];
    (void)unlink(j->socket_path);
    snprintf(sockets, sizeof sockets, "%s.d", j->socket_path);
    (void)remove_tree(AT_FDCWD, sockets);
  }
  STEP(INJECT_JANITOR);
  (void)userns_do(j->userns, remove_path, j->dir);
  STEP(INJECT_JANITOR);
}

static int finish_runs(const char *dir) {
  char runs[512];
  snprintf(runs, sizeof runs, "%s", dir);
  char *slash = strrchr(runs, '/');
  if (!slash || slash == runs) return 0;
  *slash = 0;
  return gc_runs(runs, slash + 1);
}

/* Aside, so that nobody waits for it. A child that outlives us must not keep our end of the socket: the supervisor would
 * wait for the answer of somebody who is dead. */
static void aside(const struct janitor *j, int (*work)(const char *), const char *path) {
  if (fork() != 0) return;
  close(j->socket);
  _exit(userns_do(j->userns, work, path) ? 1 : 0);
}

/* The way out lasts as long as this process does: its socket owns the table. */
static void open_outbound(int to, struct janitor_message *m, const struct janitor_message *network, uint32_t link) {
  static int table = -1;
  char name[IFNAMSIZ];
  m->errnum = 0;
  if (table < 0) {
    table = link && if_indextoname(link, name) ? outbound_open(name, WAY_HOST, network->subnet, PREFIX - 1) : (errno = ENODEV, -1);
    if (table < 0) m->errnum = (uint32_t)errno;
    int route = table < 0 ? -1 : route_socket();
    if (route >= 0 && link_forwarding(route, link, true)) m->errnum = (uint32_t)errno;
    if (route >= 0) close(route);
  }
  send_sockets(to, m, NULL, 0);
}

/* An ordinary user's way out leads through a program; answered when that says how it went. */
static void start_relay(const struct janitor *j, struct pollfd *relay, struct janitor_message *m) {
  m->path[sizeof m->path - 2] = m->path[sizeof m->path - 1] = 0;
  m->errnum = 0;
  if (relay->fd >= 0) m->errnum = EBUSY;
  else if ((relay->fd = relay_start(j, m->path)) < 0) m->errnum = (uint32_t)errno;
  if (m->errnum) send_sockets(j->socket, m, NULL, 0);
}

static void relay_answered(const struct janitor *j, struct pollfd *relay) {
  struct janitor_message m = {.word = JANITOR_OUTBOUND};
  char byte;
  if (read(relay->fd, &byte, 1) != 1) m.errnum = ECHILD;
  close(relay->fd);
  relay->fd = -1;
  send_sockets(j->socket, &m, NULL, 0);
}

void janitor_main(struct janitor *j) {
  struct janitor_message hello = {.word = JANITOR_NETWORK, .supervisor = (uint32_t)j->supervisor};
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/ns/net", j->supervisor);
  int ns = open(path, O_RDONLY | O_CLOEXEC);
  uint32_t link = 0;
  STEP(INJECT_JANITOR);
  if (j->userns >= 0) private_network(&hello);
  else if (ns >= 0) link = make_network(&hello, ns, getpid());
  if (ns >= 0) close(ns);
  STEP(INJECT_JANITOR);
  (void)send(j->socket, &hello, sizeof hello, MSG_NOSIGNAL);
  STEP(INJECT_JANITOR);
  aside(j, finish_runs, j->dir); /* what a killed janitor could not do, its successors do */
  STEP(INJECT_JANITOR);
  struct pollfd fds[] = {{j->supervisor_pidfd, POLLIN, 0}, {j->socket, POLLIN, 0}, {j->owner_pidfd, POLLIN, 0}, {-1, POLLIN, 0}};
  uint64_t deadline = 0;
  while (!(fds[0].revents & POLLIN)) {
    int timeout = deadline ? 50 : -1;
    if (poll(fds, 4, timeout) < 0 && errno != EINTR) break;
    STEP(INJECT_JANITOR);
    if (fds[1].revents & POLLIN) {
      struct janitor_message m;
      ssize_t n = recv(j->socket, &m, sizeof m, 0);
      if (n == sizeof m && m.word == JANITOR_BIND) bind_ports(j->socket, &m);
      if (n == sizeof m && m.word == JANITOR_SOCKET) make_socket(j->socket, &m);
      if (n == sizeof m && m.word == JANITOR_OUTBOUND && !m.path[0]) open_outbound(j->socket, &m, &hello, link);
      else if (n == sizeof m && m.word == JANITOR_OUTBOUND) start_relay(j, &fds[3], &m);
      if (n == sizeof m && m.word == JANITOR_DELETE) {
        m.path[sizeof m.path - 1] = 0;
        aside(j, remove_path, m.path);
      }
    } else if (fds[1].revents) {
      fds[1].fd = -1;
      cgroups_thaw_all(&j->cgroups); /* the supervisor is ending, and a frozen process would keep it */
    }
    if (fds[3].fd >= 0 && fds[3].revents) relay_answered(j, &fds[3]);
    while (waitpid(-1, NULL, WNOHANG | __WALL) > 0) continue;
    if (fds[2].revents && !deadline) {
      deadline = now_ns(CLOCK_MONOTONIC) + GRACE_MS * 1000000ull;
      fds[2].fd = -1;
    }
    /* A supervisor that was stopped would clean nothing. */
    if (deadline && now_ns(CLOCK_MONOTONIC) > deadline) (void)sys_pidfd_send_signal(j->supervisor_pidfd, SIGKILL);
  }
  /* The kernel takes the pair with the hub's namespace, but later, in its own time. */
  int route = link ? route_socket() : -1;
  if (route >= 0) (void)link_delete(route, link);
  STEP(INJECT_JANITOR);
  tidy(j);
  _exit(0);
}

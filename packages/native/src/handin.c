#include "handin.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "ops.h"
#include "pipes.h"
#include "sys.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

/* What the kernel copies may grow. */
union notification {
  struct seccomp_notif call;
  uint8_t room[512];
};

/* A call of bind(): whose, on which socket, to what. */
struct binding {
  pid_t process;
  int fd, socket; /* its number there, and a duplicate here */
  bool cloexec;
  int family;
  uint16_t number;
  bool v6only;
};

int op_notify(struct child *c, struct reader *r) {
  uint32_t n;
  const uint8_t *program = get_bytes(r, &n);
  if (r->bad) return 0;
  if (c->notify_fd < 0) return fail_with(&c->failure, EINVAL, "notify", "", "not asked for");
  if (!n || n % sizeof(struct sock_filter) || n / sizeof(struct sock_filter) > BPF_MAXINSNS)
    return fail_with(&c->failure, EINVAL, "notify", "", "program length");
  if (switched_off("notify")) return 0;
  struct sock_filter *filter = xalloc(n);
  memcpy(filter, program, n);
  struct sock_fprog prog = {.len = (unsigned short)(n / sizeof *filter), .filter = filter};
  /* Without the second flag (Linux 5.19) a signal could interrupt a call that is half answered. Ports are copied then, and
   * where somebody around us listens already (EBUSY). */
  const unsigned long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
  int listener = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
  free(filter);
  if (listener < 0) return errno == EINVAL || errno == EBUSY ? 0 : fail(&c->failure, "notify", "", "seccomp");
  int result = descriptor_send(c->notify_fd, listener) ? fail(&c->failure, "notify", "", "send") : 0;
  close(listener);
  return result;
}

int handin_proc(void) {
  static int proc = -1;
  if (proc >= 0) return proc;
  int fs = sys_fsopen("proc");
  if (fs >= 0 && !sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL))
    proc = sys_fsmount(fs, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  if (fs >= 0) close(fs);
  return proc;
}

/* The number after a word at the beginning of a line, in this base; -1. */
static long number_after(const char *path, const char *word, int base) {
  char text[4096];
  if (read_file_at(handin_proc(), path, text, sizeof text) < 0) return -1;
  const char *at = strstr(text, word);
  return at ? strtol(at + strlen(word), NULL, base) : -1;
}

/* Threads notify by their own numbers; descriptors are had of processes alone before Linux 6.9. */
static int duplicate(struct binding *b, pid_t thread) {
  char path[64];
  snprintf(path, sizeof path, "%d/status", thread);
  long process = number_after(path, "\nTgid:\t", 10);
  int pidfd = process > 0 ? sys_pidfd_open((pid_t)process) : -1;
  if (pidfd < 0) return -1;
  b->socket = (int)syscall(SYS_pidfd_getfd, pidfd, b->fd, 0u);
  close(pidfd);
  snprintf(path, sizeof path, "%d/fdinfo/%d", thread, b->fd);
  long flags = number_after(path, "flags:\t", 8);
  b->cloexec = flags >= 0 && flags & O_CLOEXEC;
  return b->socket;
}

static int option(int fd, int level, int name) {
  int value = -1;
  socklen_t n = sizeof value;
  return getsockopt(fd, level, name, &value, &n) ? -1 : value;
}

static bool read_address(struct binding *b, pid_t thread, uint64_t at, uint64_t size) {
  struct sockaddr_in6 a = {0};
  struct iovec here = {&a, size < sizeof a ? size : sizeof a}, there = {(void *)(uintptr_t)at, here.iov_len};
  if (size < sizeof(struct sockaddr_in) || process_vm_readv(thread, &here, 1, &there, 1, 0) != (ssize_t)here.iov_len) return false;
  b->family = a.sin6_family;
  b->number = ntohs(a.sin6_port); /* at the same place in both */
  if (b->family == AF_INET) {
    struct sockaddr_in v4;
    memcpy(&v4, &a, sizeof v4);
    return ntohl(v4.sin_addr.s_addr) >> 24 != 127;
  }
  bool loopback = IN6_IS_ADDR_LOOPBACK(&a.sin6_addr) || (IN6_IS_ADDR_V4MAPPED(&a.sin6_addr) && a.sin6_addr.s6_addr[12] == 127);
  return b->family == AF_INET6 && here.iov_len == sizeof a && !loopback;
}

static struct port *port_of(const struct container *t, uint16_t number) {
  for (struct port *p = run.ports; p; p = p->next)
    if (p->handed && !p->closed && p->container == t && p->target_number == number) return p;
  return NULL;
}

void handin_share(int fd, bool yes) {
  const int on = yes;
  (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
}

/* One socket for both families has to be of the newer one; the older's address is mapped into it. */
static int bind_mapped(struct port *p) {
  struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(p->number)};
  static const uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1};
  memcpy(&a.sin6_addr, mapped, sizeof mapped);
  if (p->family == AF_INET) memcpy(&a.sin6_addr.s6_addr[12], p->host, 4);
  int off = 0, old = p->listeners[0].fd;
  handin_share(old, true);
  handin_share(p->spare, true);
  (void)setsockopt(p->spare, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  int result = bind(p->spare, (struct sockaddr *)&a, sizeof a);
  handin_share(result ? old : p->spare, false);
  if (result) return -1;
  source_close(&p->listeners[0]);
  p->listeners[0].fd = p->spare;
  p->spare = -1;
  return 0;
}

/* Which of the port's two sockets will do; -1 for none. */
static int choose(struct port *p, const struct binding *b) {
  int at = b->family == AF_INET6 && b->v6only && !p->family ? 1 : 0;
  if (b->family == AF_INET6 && !b->v6only && p->family != AF_INET6 && p->spare >= 0 && bind_mapped(p)) return -1;
  int fd = p->listeners[at].fd;
  return fd >= 0 && option(fd, SOL_SOCKET, SO_DOMAIN) == b->family ? at : -1;
}

/* What the service has set on its socket so far. */
static void mirror(int from, int to) {
  static const int numbers[][2] = {
    {SOL_SOCKET, SO_KEEPALIVE}, {SOL_SOCKET, SO_OOBINLINE}, {SOL_SOCKET, SO_RCVLOWAT}, {SOL_SOCKET, SO_PRIORITY},
    {IPPROTO_IP, IP_TOS}, {IPPROTO_TCP, TCP_NODELAY}, {IPPROTO_TCP, TCP_KEEPIDLE}, {IPPROTO_TCP, TCP_KEEPINTVL},
    {IPPROTO_TCP, TCP_KEEPCNT}, {IPPROTO_TCP, TCP_DEFER_ACCEPT}, {IPPROTO_TCP, TCP_USER_TIMEOUT}, {IPPROTO_TCP, TCP_SYNCNT},
    {IPPROTO_TCP, TCP_LINGER2}, {IPPROTO_TCP, TCP_NOTSENT_LOWAT}, {IPPROTO_TCP, TCP_FASTOPEN}};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    int value = option(from, numbers[i][0], numbers[i][1]);
    if (value < 0 || value == option(to, numbers[i][0], numbers[i][1])) continue;
    (void)setsockopt(to, numbers[i][0], numbers[i][1], &value, sizeof value);
  }
  static const int buffers[] = {SO_RCVBUF, SO_SNDBUF}; /* answered twice as large as they were set */
  for (size_t i = 0; i < 2; i++) {
    int value = option(from, SOL_SOCKET, buffers[i]);
    if (value <= 0 || value == option(to, SOL_SOCKET, buffers[i])) continue;
    value /= 2;
    (void)setsockopt(to, SOL_SOCKET, buffers[i], &value, sizeof value);
  }
  struct linger linger;
  socklen_t n = sizeof linger;
  if (!getsockopt(from, SOL_SOCKET, SO_LINGER, &linger, &n)) (void)setsockopt(to, SOL_SOCKET, SO_LINGER, &linger, n);
  static const int times[] = {SO_RCVTIMEO, SO_SNDTIMEO};
  for (size_t i = 0; i < 2; i++) {
    struct timeval value;
    n = sizeof value;
    if (!getsockopt(from, SOL_SOCKET, times[i], &value, &n)) (void)setsockopt(to, SOL_SOCKET, times[i], &value, n);
  }
  int theirs = fcntl(from, F_GETFL), ours = fcntl(to, F_GETFL);
  if (theirs >= 0 && ours >= 0) (void)fcntl(to, F_SETFL, (ours & ~O_NONBLOCK) | (theirs & O_NONBLOCK));
}

static bool same_socket(int one, int other) {
  uint64_t a = 0, b = 1;
  socklen_t n = sizeof a, m = sizeof b;
  return !getsockopt(one, SOL_SOCKET, SO_COOKIE, &a, &n) && !getsockopt(other, SOL_SOCKET, SO_COOKIE, &b, &m) && a == b;
}

/* false: the call goes on as if nobody had asked. */
static bool give(struct container *t, const struct seccomp_notif *call, struct binding *b) {
  struct port *p = port_of(t, b->number);
  if (!p || option(b->socket, SOL_SOCKET, SO_TYPE) != SOCK_STREAM || option(b->socket, SOL_SOCKET, SO_PROTOCOL) != IPPROTO_TCP ||
      option(b->socket, SOL_SOCKET, SO_DOMAIN) != b->family)
    return false;
  b->v6only = b->family == AF_INET6 && option(b->socket, IPPROTO_IPV6, IPV6_V6ONLY) == 1;
  int at = choose(p, b);
  if (at < 0) return false;
  int ours = p->listeners[at].fd;
  if (same_socket(ours, b->socket)) return true;
  mirror(b->socket, ours);
  handin_share(ours, true);
  /* Where we listened for it meanwhile, it does from now on. */
  (void)epoll_ctl(run.epoll, EPOLL_CTL_DEL, ours, NULL);
  struct seccomp_notif_addfd add = {.id = call->id, .flags = SECCOMP_ADDFD_FLAG_SETFD, .srcfd = (uint32_t)ours,
                                    .newfd = (uint32_t)b->fd, .newfd_flags = b->cloexec ? O_CLOEXEC : 0};
  if (ioctl(t->handin.fd, SECCOMP_IOCTL_NOTIF_ADDFD, &add) < 0) return false;
  p->given |= (uint8_t)(1u << at);
  p->holders[at] = (struct holder){.process = (pid_t)call->pid, .fd = b->fd};
  handin_watch();
  return true;
}

static bool hand_in(struct container *t, const struct seccomp_notif *call) {
  struct binding b = {.fd = (int)call->data.args[0], .socket = -1};
  if (!read_address(&b, (pid_t)call->pid, call->data.args[1], call->data.args[2]) || !port_of(t, b.number)) return false;
  if (duplicate(&b, (pid_t)call->pid) < 0) return false;
  /* Whose memory was read is still who asked. */
  bool given = !ioctl(t->handin.fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &call->id) && give(t, call, &b);
  close(b.socket);
  return given;
}

static void notified(struct source *s, uint32_t events) {
  struct container *t = s->owner;
  union notification n = {.room = {0}};
  if (!(events & EPOLLIN)) {
    source_close(s); /* nobody is left who could ask */
    return;
  }
  if (ioctl(s->fd, SECCOMP_IOCTL_NOTIF_RECV, &n)) return; /* its process was killed meanwhile */
  struct seccomp_notif_resp answer = {.id = n.call.id};
  if (!hand_in(t, &n.call)) answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
  (void)ioctl(s->fd, SECCOMP_IOCTL_NOTIF_SEND, &answer);
}

void handin_begin(struct container *t, int socket) {
  int listener = descriptor_take(socket);
  if (listener >= 0 && source_add(&t->handin, listener, EPOLLIN, notified, t)) _exit(71);
}

/* Listens no more, and keeps its number: one that the kernel chose has to be asked for again. */
static void refuse(struct port *p, int at) {
  int fd = p->listeners[at].fd;
  struct sockaddr_in6 a;
  socklen_t n = sizeof a;
  if (fd < 0 || getsockname(fd, (struct sockaddr *)&a, &n)) return;
  (void)epoll_ctl(run.epoll, EPOLL_CTL_DEL, fd, NULL);
  (void)shutdown(fd, SHUT_RD);
  handin_share(fd, true);
  (void)bind(fd, (struct sockaddr *)&a, n); /* EINVAL: it has it still */
  handin_share(fd, false);
}

void handin_abandon(struct port *p, int at) {
  refuse(p, at);
  p->given &= (uint8_t)~(1u << at);
  if (p->given) return;
  /* With it the address that was copied to it. Who listens there next is heard of as ever. */
  refuse(p, !at);
  port_await(p);
}

void handin_end(struct container *t) {
  source_close(&t->handin);
  for (struct port *p = run.ports; p; p = p->next) {
    if (!p->handed || p->closed || p->container != t) continue;
    for (int at = 0; at < 2; at++) refuse(p, at);
    p->listening = false;
    p->given = 0;
  }
}

bool handin_listens(const struct container *t, uint16_t number) {
  const struct port *p = port_of(t, number);
  for (int at = 0; p && at < 2; at++)
    if (p->given >> at & 1 && option(p->listeners[at].fd, SOL_SOCKET, SO_ACCEPTCONN) == 1) return true;
  return false;
}

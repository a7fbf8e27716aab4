/* The supervisor's event loop. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "inject.h"
#include "networks.h"
#include "run.h"

struct run run;

static struct {
  void **list;
  size_t count, capacity;
} dead;

void free_later(void *memory) {
  if (dead.count == dead.capacity) {
    dead.capacity = dead.capacity ? dead.capacity * 2 : 64;
    dead.list = realloc(dead.list, dead.capacity * sizeof *dead.list);
    if (!dead.list) _exit(70);
  }
  dead.list[dead.count++] = memory;
}

int source_add(struct source *s, int fd, uint32_t events, void (*ready)(struct source *, uint32_t), void *owner) {
  *s = (struct source){.fd = fd, .events = events, .ready = ready, .owner = owner};
  struct epoll_event e = {.events = events, .data.ptr = s};
  return epoll_ctl(run.epoll, EPOLL_CTL_ADD, fd, &e);
}

void source_want(struct source *s, uint32_t events) {
  if (s->fd < 0 || s->events == events) return;
  s->events = events;
  struct epoll_event e = {.events = events, .data.ptr = s};
  if (epoll_ctl(run.epoll, EPOLL_CTL_MOD, s->fd, &e)) _exit(71);
}

void source_close(struct source *s) {
  if (s->fd < 0) return;
  /* Removed by hand: a child that shares the description would keep it in the set. */
  (void)epoll_ctl(run.epoll, EPOLL_CTL_DEL, s->fd, NULL);
  close(s->fd);
  s->fd = -1;
}

void timer_set(uint64_t ns) {
  struct itimerspec t = {.it_value = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)}};
  (void)timerfd_settime(run.timer.fd, 0, &t, NULL);
}

static void fatal(const char *step) {
  fprintf(stderr, "mayfly-native: supervise %s: %s\n", step, errno_name(errno));
  _exit(1);
}

static void accept_client(struct source *s, uint32_t events) {
  (void)events;
  int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  struct ucred peer;
  socklen_t n = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) || peer.uid != geteuid()) {
    close(fd);
    return;
  }
  connection_open(fd, false);
}

static void listen_for_clients(void) {
  struct sockaddr_un a = {.sun_family = AF_UNIX};
  if (!run.socket_path[0]) return;
  snprintf(a.sun_path, sizeof a.sun_path, "%s", run.socket_path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) fatal("socket");
  mode_t old = umask(0177);
  if (bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 64)) fatal("listen");
  umask(old);
  if (source_add(&run.listener, fd, EPOLLIN, accept_client, NULL)) fatal("epoll");
}

static void await_network(int janitor) {
  struct janitor_message m;
  ssize_t n;
  do n = recv(janitor, &m, sizeof m, 0);
  while (n < 0 && errno == EINTR);
  if (n <= 0) _exit(1);
  run.supervisor_pid = (pid_t)m.supervisor;
  if (m.word != JANITOR_NETWORK || !m.prefix) return; /* containers have loopback only */
  run.subnet = m.subnet;
  run.gateway = m.gateway;
  run.prefix = m.prefix;
  run.linked = m.linked;
}

/* The hub's own end: beside the host's where a veth leads there, else the gateway itself. */
uint32_t hub_address(void) { return run.linked ? run.gateway + 1 : run.gateway; }

static void join_hub(void) {
  if (!run.prefix) return;
  if ((run.linked && link_enslave(run.route, "host", run.bridge)) || link_address(run.route, run.bridge, hub_address(), run.prefix) ||
      hub_routes())
    fatal("hub");
}

/* Before Linux 6.6 a tmpfs keeps no user attributes, and an ordinary user's overlay needs them in its upper directory. */
static bool memory_keeps_xattrs(void) {
  if (mount("tmpfs", run.stage, "tmpfs", 0, "size=64k")) return false;
  bool kept = !setxattr(run.stage, "user.overlay.probe", "y", 1, 0);
  (void)umount2(run.stage, MNT_DETACH);
  return kept;
}

int supervisor_turn(int timeout) {
  struct epoll_event events[64];
  int n = epoll_wait(run.epoll, events, 64, timeout);
  if (n < 0 && errno != EINTR) _exit(71);
  for (int i = 0; i < n; i++) {
    struct source *s = events[i].data.ptr;
    STEP(INJECT_SUPERVISOR);
    if (s->fd >= 0) s->ready(s, events[i].events);
  }
  if (run.strays) strays_reap();
  STEP(INJECT_SUPERVISOR);
  waiters_sweep();
  connection_reap();
  for (size_t i = 0; i < dead.count; i++) free(dead.list[i]);
  dead.count = 0;
  return n;
}

void supervisor_main(int owner, int janitor) {
  for (int sig = 1; sig < 32; sig++)
    if (sig == SIGPIPE || sig == SIGHUP || sig == SIGINT || sig == SIGTERM) signal(sig, SIG_IGN);
  STEP(INJECT_SUPERVISOR);
  umask(0);
  if (mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL)) fatal("private mounts");
  if (prctl(PR_SET_DUMPABLE, 0L, 0L, 0L, 0L)) fatal("dumpable");
  STEP(INJECT_SUPERVISOR);
  run.epoll = epoll_create1(EPOLL_CLOEXEC);
  run.null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
  run.hub_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  run.pid_ns = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
  run.mount_ns = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
  run.proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
  run.route = route_socket();
  int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), rest = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  if (run.epoll < 0 || run.null_fd < 0 || run.hub_ns < 0 || run.pid_ns < 0 || run.mount_ns < 0 || run.proc_fd < 0 || run.route < 0 || timer < 0 || rest < 0) fatal("open");
  if (link_up(run.route, 1)) fatal("loopback");
  int bridge = bridge_create(run.route, "mayfly");
  if (bridge < 0) fatal("bridge");
  run.bridge = (uint32_t)bridge;
  STEP(INJECT_SUPERVISOR);
  await_network(janitor);
  join_hub();
  hub_settings();
  run.memory_xattrs = !run.rootless || memory_keeps_xattrs();
  STEP(INJECT_SUPERVISOR);
  listen_for_clients();
  STEP(INJECT_SUPERVISOR);
  if (source_add(&run.timer, timer, EPOLLIN, waiters_tick, NULL) || source_add(&run.rest, rest, EPOLLIN, rest_over, NULL)) fatal("epoll");
  if (source_add(&run.janitor, janitor, EPOLLIN, ports_answer, NULL)) fatal("epoll");
  connection_open(owner, true);
  for (;;) (void)supervisor_turn(-1);
}

/* The test build's half of test/kill: MAYFLY_INJECT names a file of numbers shared with the test. */
#include "inject.h"

#ifdef MAYFLY_INJECT
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base.h"
#include "netlink.h"

/* Descriptor 4 is the test's socket: a byte for "reached", and one back for "go on". */
enum { OWNER = 3, TEST = 4 };

struct shared {
  _Atomic uint32_t role, at; /* where to stop; at 0: nowhere, only count */
  _Atomic uint32_t janitor, supervisor;
  _Atomic uint32_t counts[INJECT_ROLES];
};

static struct shared *shared(void) {
  static struct shared *map;
  const char *path = getenv("MAYFLY_INJECT");
  if (map || !path) return map;
  int fd = open(path, O_RDWR | O_CLOEXEC);
  void *at = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *map, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED || fcntl(TEST, F_SETFD, FD_CLOEXEC)) _exit(99);
  close(fd);
  map = at;
  return map;
}

void inject_step(enum inject_role role) {
  struct shared *s = shared();
  if (!s || atomic_fetch_add(&s->counts[role], 1) + 1 != s->at || s->role != (uint32_t)role) return;
  char word = 'r';
  if (send(TEST, &word, 1, MSG_NOSIGNAL) != 1) _exit(99);
  while (recv(TEST, &word, 1, 0) < 0 && errno == EINTR) continue;
}

void inject_pids(pid_t janitor, pid_t supervisor) {
  struct shared *s = shared();
  if (!s) return;
  s->janitor = (uint32_t)janitor;
  s->supervisor = (uint32_t)supervisor;
}

static int copy(int from, int to) {
  static uint8_t chunk[65536];
  ssize_t n = read(from, chunk, sizeof chunk);
  return n > 0 && !write_all(to, chunk, (size_t)n) ? 0 : -1;
}

/* own WORDS…: starts `WORDS…` (a supervise) as its owner, and copies between its connection and descriptor 3. To be
 * killed in a test's place. */
int cmd_own(int argc, char **argv) {
  if (argc < 2) return 64;
  int pair[2];
  int route = route_socket();
  if (route >= 0) (void)link_up(route, 1);
  if (route >= 0) close(route);
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) return 71;
  pid_t pid = fork();
  if (pid < 0) return 71;
  if (pid == 0) {
    if (dup2(pair[1], OWNER) < 0) _exit(71);
    execv("/proc/self/exe", argv);
    _exit(71);
  }
  close(pair[1]);
  close(TEST);
  struct pollfd fds[] = {{OWNER, POLLIN, 0}, {pair[0], POLLIN, 0}};
  while (poll(fds, 2, -1) > 0 || errno == EINTR) {
    if (fds[0].revents && copy(OWNER, pair[0])) return 0;
    if (fds[1].revents && copy(pair[0], OWNER)) return 0;
  }
  return 71;
}
#endif

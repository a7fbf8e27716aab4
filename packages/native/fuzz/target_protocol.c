/* A client's bytes, whole: framing, every request, streams, ports, and what remains when the client has gone. Containers
 * are simulated at the system call (clone3, setns, signals, waiting), so that no input can start or kill anything. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../src/ports.h"
#include "../src/run.h"
#include "../src/sys.h"
#include "fuzz.h"

enum { TURNS = 2000 };

static jmp_buf ended;
static bool running;
static int janitor;
static int pipes[8]; /* write ends since the last clone: output, errors, report, … */
static unsigned pipe_count, clones;
static uint32_t flavour;

/* --- the simulated kernel --- */

int __real_pipe2(int *fds, int flags);
int __wrap_pipe2(int *fds, int flags);
int __wrap_pipe2(int *fds, int flags) {
  int result = __real_pipe2(fds, flags);
  if (result == 0 && pipe_count < sizeof pipes / sizeof *pipes) pipes[pipe_count++] = fds[1];
  return result;
}

/* Processes come in kinds: one runs, one says `await`, one fails to start, one prints, one is dead at once. */
static long fake_clone(struct clone3_args *a) {
  unsigned kind = (flavour + clones++) % 6;
  int fd = eventfd(kind == 4, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0) return -1;
  *(int *)(uintptr_t)a->pidfd = fd;
  struct failure f = {.index = NO_INDEX, .operation = "fuzz"};
  if (kind == 2) f.errnum = ENOENT;
  if ((kind == 1 || kind == 2) && pipe_count > 2) (void)!write(pipes[2], &f, sizeof f);
  if (kind == 5 && pipe_count > 2) (void)!write(pipes[2], &f, 3);
  if (kind == 3 && pipe_count > 1) (void)!write(pipes[0], "some\noutput\n", 12), (void)!write(pipes[1], "trouble", 7);
  pipe_count = 0;
  return (long)(1000 + clones);
}

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...) {
  va_list list;
  va_start(list, number);
  long a[6];
  for (size_t i = 0; i < 6; i++) a[i] = va_arg(list, long);
  va_end(list);
  if (number == SYS_clone3) return fake_clone((struct clone3_args *)a[0]);
  if (number == SYS_pidfd_send_signal) {
    uint64_t one = 1;
    return a[1] == 0 || write((int)a[0], &one, sizeof one) > 0 ? 0 : -1;
  }
  return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int __wrap_waitid(idtype_t type, id_t id, siginfo_t *info, int options);
int __wrap_waitid(idtype_t type, id_t id, siginfo_t *info, int options) {
  (void)options;
  if (type != P_PIDFD) return 0; /* no strays */
  uint64_t count;
  if (read((int)id, &count, sizeof count) < 0) return 0;
  info->si_pid = 1000;
  info->si_code = CLD_KILLED;
  info->si_status = SIGKILL;
  return 0;
}

int __wrap_setns(int fd, int type);
int __wrap_setns(int fd, int type) {
  (void)fd, (void)type;
  return 0;
}

int __real_unshare(int flags);
int __wrap_unshare(int flags);
int __wrap_unshare(int flags) { return running ? 0 : __real_unshare(flags); }

/* The disk to be filled is this machine's. */
int __wrap_fallocate(int fd, int mode, off_t offset, off_t length);
int __wrap_fallocate(int fd, int mode, off_t offset, off_t length) {
  (void)fd, (void)mode, (void)offset, (void)length;
  return 0;
}

_Noreturn void __real__exit(int code);
_Noreturn void __wrap__exit(int code);
_Noreturn void __wrap__exit(int code) {
  if (running && code == 0) longjmp(ended, 1); /* the request `shutdown` */
  if (running) fuzz_found("the supervisor ended");
  __real__exit(code);
}

/* --- the run --- */

static void begin(void) {
  memset(&run, 0, sizeof run);
  run.epoll = epoll_create1(EPOLL_CLOEXEC);
  run.null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
  run.hub_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  run.pid_ns = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
  run.mount_ns = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
  run.proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
  run.route = route_socket();
  run.run_dir = -1;
  int pair[2], timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  if (run.epoll < 0 || run.null_fd < 0 || run.route < 0 || timer < 0) abort();
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair)) abort();
  janitor = pair[1];
  snprintf(run.token, sizeof run.token, "token");
  run.subnet = 0xC6120000u;
  run.gateway = run.subnet + 1;
  run.prefix = 22;
  run.cgroups.version = "none";
  if (source_add(&run.timer, timer, EPOLLIN, waiters_tick, NULL)) abort();
  if (source_add(&run.janitor, pair[0], EPOLLIN, ports_answer, NULL)) abort();
}

static int first_free(void) {
  int fd = dup(run.null_fd);
  if (fd < 0 || close(fd)) fuzz_found("no descriptor is left");
  return fd;
}

/* What a run needs lies below; of an input nothing may stay open. */
static void check_closed(int first) {
  for (int fd = first; fd < first + 200; fd++)
    if (fcntl(fd, F_GETFD) >= 0) fuzz_found("a descriptor was not closed");
}

void target_start(void) {
  /* Listeners and addresses of the inputs are in a network of their own. */
  fuzz_unshare(CLONE_NEWNET);
  signal(SIGPIPE, SIG_IGN);
  begin();
  (void)link_up(run.route, 1);
}

static void answer_janitor(void) {
  struct janitor_message m;
  while (recv(janitor, &m, sizeof m, MSG_DONTWAIT) == sizeof m) {
    if (m.word == JANITOR_SOCKET) (void)send(janitor, &m, sizeof m, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (m.word != JANITOR_BIND) continue;
    m.word = JANITOR_BOUND;
    m.errnum = m.number % 3 ? EADDRINUSE : 0;
    (void)send(janitor, &m, sizeof m, MSG_NOSIGNAL | MSG_DONTWAIT);
  }
}

static void settle(int client) {
  static uint8_t sink[1 << 16];
  unsigned turn = 0;
  /* Watching a port turns a timer on, which is never quiet: a bounded number of turns. */
  for (unsigned quiet = 0; quiet < 2 && turn < TURNS; turn++) {
    quiet = supervisor_turn(0) > 0 ? 0 : quiet + 1;
    answer_janitor();
    if (client >= 0) (void)!recv(client, sink, sizeof sink, MSG_DONTWAIT);
  }
}

void target_run(const uint8_t *data, size_t length) {
  flavour = length ? data[length - 1] : 0;
  clones = pipe_count = 0;
  int before = first_free(), pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) abort();
  running = true;
  if (setjmp(ended)) {
    running = false;
    (void)syscall(SYS_close_range, 3u, ~0u, 0u);
    begin();
    return;
  }
  connection_open(pair[0], false);
  run.connections->greeted = true;
  for (size_t at = 0; at < length;) {
    ssize_t n = send(pair[1], data + at, length - at, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN) break;
    if (n > 0) at += (size_t)n;
    settle(pair[1]);
  }
  settle(pair[1]);
  close(pair[1]);
  settle(-1);
  running = false;
  if (run.connections) fuzz_found("the connection outlives its client");
  if (run.containers) fuzz_found("a container outlives its owner");
  if (run.ports) fuzz_found("a port outlives its owner");
  if (run.networks) fuzz_found("a network outlives its owner");
  if (run.waiters) fuzz_found("a waiting request outlives its client");
  check_closed(before);
}

/* Changes the inside of frames and keeps their lengths true, mostly. */
size_t target_mutate(uint8_t *data, size_t length) {
  static uint8_t frame[INPUT_MAX];
  if (!fuzz_random(10)) return fuzz_mutate_bytes(data, length, INPUT_MAX);
  size_t starts[256], count = 0;
  for (size_t at = 0; at + FRAME_HEADER <= length && count < 256;) {
    struct reader r = reader_of(data + at, 4);
    size_t n = (size_t)FRAME_HEADER + get_u32(&r); /* in size_t: a length of 2^32 - 1 must not wrap */
    if (n > length - at) break;
    starts[count++] = at;
    at += n;
  }
  if (!count) return fuzz_mutate_bytes(data, length, INPUT_MAX);
  size_t at = starts[fuzz_random((uint32_t)count)];
  struct reader r = reader_of(data + at, FRAME_HEADER);
  size_t n = get_u32(&r), whole = FRAME_HEADER + n;
  memcpy(frame, data + at, whole);
  switch (fuzz_random(8)) {
    case 0: /* again */
      if (length + whole > INPUT_MAX) return length;
      memmove(data + at + whole, data + at, length - at);
      return length + whole;
    case 1: /* away */
      memmove(data + at, data + at + whole, length - at - whole);
      return length - whole;
    case 2: data[at + 4] = (uint8_t)(1 + fuzz_random(7)); return length;
    case 3: memcpy(data + at + 5, data + starts[fuzz_random((uint32_t)count)] + 5, 4); return length;
    case 4: /* another request with the same fields */
      if (n >= 2) data[at + FRAME_HEADER] = (uint8_t)fuzz_random(40), data[at + FRAME_HEADER + 1] = 0;
      return length;
    default: break;
  }
  size_t room = INPUT_MAX - (length - n), fresh = fuzz_mutate_bytes(frame + FRAME_HEADER, n, room < INPUT_MAX - FRAME_HEADER ? room : INPUT_MAX - FRAME_HEADER);
  memmove(data + at + FRAME_HEADER + fresh, data + at + whole, length - at - whole);
  memcpy(data + at, frame, FRAME_HEADER + fresh);
  for (size_t i = 0; i < 4; i++) data[at + i] = (uint8_t)(fresh >> (8 * i));
  return length - n + fresh;
}

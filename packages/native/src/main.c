/* mayfly-native: one program, several commands (docs/protocol.md). */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands.h"
#include "inject.h"
#include "janitor.h"
#include "run.h"
#include "sys.h"
#include "userns.h"

enum { OWNER = 3 };

static _Noreturn void refuse(const char *operation, const char *path) {
  fprintf(stderr, "mayfly-native: %s %s: %s\n", operation, path, errno_name(errno));
  _exit(1);
}

static const char *option(int argc, char **argv, const char *name) {
  for (int i = 1; i + 1 < argc; i += 2)
    if (!strcmp(argv[i], name)) return argv[i + 1];
  return "";
}

/* The supervisor waits until it is root of its namespace: whatever it made before would belong to nobody. */
static void await_map(int go) {
  char byte;
  ssize_t n;
  do n = read(go, &byte, 1);
  while (n < 0 && errno == EINTR);
  if (n != 1) _exit(1);
  close(go);
  if (userns_become_root()) refuse("setresuid", "user namespace");
}

/* Opened while it still can be: a process that changed its ids is not to be looked at (PR_SET_DUMPABLE). */
static int give_map(pid_t supervisor, const struct id_map *map, int go, struct janitor *j) {
  char path[48];
  const char *step = "namespace";
  /* Opened while it still waits: from then on nobody may look at it. */
  static const char *const names[] = {"user", "pid", "net"};
  int *fds[] = {&j->userns, &j->pid_ns, &j->hub_ns};
  bool open_all = true;
  for (size_t i = 0; i < 3; i++) {
    snprintf(path, sizeof path, "/proc/%d/ns/%s", (int)supervisor, names[i]);
    *fds[i] = open(path, O_RDONLY | O_CLOEXEC);
    open_all = open_all && *fds[i] >= 0;
  }
  if (open_all && !userns_map(supervisor, map, &step) && !write_all(go, "g", 1)) return 0;
  fprintf(stderr, "mayfly-native: userns %s: %s\n", step, errno_name(errno));
  return -1;
}

static int cmd_supervise(int argc, char **argv) {
  const char *id = option(argc, argv, "--run"), *dir = option(argc, argv, "--dir");
  const char *path = option(argc, argv, "--socket");
  const struct id_map map = {.uids = option(argc, argv, "--uid-map"), .gids = option(argc, argv, "--gid-map")};
  const bool rootless = run.rootless = id_map_given(&map);
  if (!*id || *dir != '/' || strlen(dir) + 8 > sizeof run.stage || strlen(path) >= sizeof run.socket_path) {
    errno = EINVAL;
    refuse("supervise", dir);
  }
  run.self_fd = seal_self(argv - 1, environ);
  run.host_net = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  struct janitor j = {.dir = dir, .socket_path = path, .userns = -1, .pid_ns = -1, .hub_ns = -1};
  pid_t parent = getppid();
  j.owner_pidfd = sys_pidfd_open(parent);
  if (j.owner_pidfd < 0 || getppid() != parent) refuse("supervise", "owner");
  INJECT_PIDS(getpid(), 0);
  STEP(INJECT_JANITOR);
  (void)setsid();
  run.run_dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (run.run_dir < 0) refuse("open", dir);
  /* Held before it has its name: a collector must never find the lock of a run that is just starting free. */
  int lock = openat(run.run_dir, "lock.new", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) || renameat(run.run_dir, "lock.new", run.run_dir, "lock"))
    refuse("lock", dir);
  STEP(INJECT_JANITOR);
  snprintf(run.stage, sizeof run.stage, "%s/stage", dir);
  snprintf(run.socket_path, sizeof run.socket_path, "%s", path);
  if (mkdir(run.stage, 0700) && errno != EEXIST) refuse("mkdir", run.stage);
  cgroups_discover(&run.cgroups, id);
  /* What lies outside the run's directory stands in it, for who finishes a dead run. */
  if (cgroups_record(&run.cgroups, run.run_dir) || (*path && symlinkat(path, run.run_dir, "socket"))) refuse("record", dir);
  STEP(INJECT_JANITOR);
  if (cgroups_create_run(&run.cgroups)) {
    cgroups_remove_run(&run.cgroups);
    refuse("cgroup", run.cgroups.run_name);
  }
  STEP(INJECT_JANITOR);
  j.cgroups = run.cgroups;
  int pair[2], go[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) || pipe2(go, O_CLOEXEC)) refuse("socketpair", "");
  if (fcntl(OWNER, F_SETFD, FD_CLOEXEC)) refuse("supervise", "descriptor 3");
  struct clone3_args args = {.flags = CLONE_PIDFD | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | (rootless ? CLONE_NEWUSER : 0),
                             .pidfd = (uint64_t)(uintptr_t)&j.supervisor_pidfd, .exit_signal = SIGCHLD};
  pid_t pid = sys_clone3(&args);
  if (pid < 0) {
    int saved = errno;
    cgroups_remove_run(&run.cgroups);
    errno = saved;
    refuse("clone3", "namespaces");
  }
  if (pid == 0) {
    close(pair[0]);
    close(j.owner_pidfd);
    close(go[1]);
    if (rootless) await_map(go[0]);
    else close(go[0]);
    supervisor_main(OWNER, pair[1]);
  }
  INJECT_PIDS(getpid(), pid);
  close(pair[1]);
  close(go[0]);
  if (rootless && give_map(pid, &map, go[1], &j)) {
    (void)sys_pidfd_send_signal(j.supervisor_pidfd, SIGKILL);
    cgroups_remove_run(&run.cgroups);
    _exit(1);
  }
  close(go[1]);
  close(OWNER);
  for (int sig = 1; sig < 32; sig++)
    if (sig == SIGPIPE || sig == SIGHUP || sig == SIGINT || sig == SIGTERM) signal(sig, SIG_IGN);
  j.supervisor = pid;
  j.socket = pair[0];
  janitor_main(&j);
}

static int dispatch(int argc, char **argv);

/* One of our commands, or a program, as root of a user's namespace: what an ordinary user's store needs. */
static int cmd_enter(int argc, char **argv) {
  if (argc < 6 || strcmp(argv[1], "--uid-map") || strcmp(argv[3], "--gid-map")) {
    fprintf(stderr, "usage: enter --uid-map MAP --gid-map MAP COMMAND...\n");
    return 64;
  }
  const struct id_map map = {.uids = argv[2], .gids = argv[4]};
  const char *step = "";
  if (userns_enter(&map, &step)) refuse("userns", step);
  int result = dispatch(argc - 5, argv + 5);
  if (result >= 0) return result;
  execvp(argv[5], argv + 5);
  refuse("exec", argv[5]);
}

static const struct {
  const char *name;
  int (*run)(int, char **);
} commands[] = {{"supervise", cmd_supervise}, {"untar", cmd_untar}, {"unpack", cmd_untar}, {"tar", cmd_tar},     {"lock", cmd_lock}, {"locks", cmd_locks}, {"gc", cmd_gc},
                {"probe", cmd_probe},         {"enter", cmd_enter}, {"remove", cmd_remove}, {"settle", cmd_settle},
                {"init", cmd_init},           {"sync", cmd_sync}, {"idle", cmd_idle},
                {"copy-in", cmd_copy},        {"copy-out", cmd_copy},
#ifdef MAYFLY_INJECT
                {"own", cmd_own},
#endif
};

static int dispatch(int argc, char **argv) {
  for (size_t i = 0; argc > 0 && i < sizeof commands / sizeof *commands; i++)
    if (!strcmp(argv[0], commands[i].name)) return commands[i].run(argc, argv);
  return -1;
}

int main(int argc, char **argv) {
  int result = dispatch(argc - 1, argv + 1);
  if (result >= 0) return result;
  fprintf(stderr, "mayfly-native %s:", PACKAGE_VERSION);
  for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) fprintf(stderr, " %s", commands[i].name);
  fprintf(stderr, "\n");
  return 64;
}

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
#include "janitor.h"
#include "run.h"
#include "sys.h"

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

static int cmd_supervise(int argc, char **argv) {
  const char *id = option(argc, argv, "--run"), *dir = option(argc, argv, "--dir");
  const char *path = option(argc, argv, "--socket");
  if (!*id || *dir != '/' || strlen(dir) + 8 > sizeof run.stage || strlen(path) >= sizeof run.socket_path) {
    errno = EINVAL;
    refuse("supervise", dir);
  }
  struct janitor j = {.dir = dir, .socket_path = path};
  pid_t parent = getppid();
  j.owner_pidfd = sys_pidfd_open(parent);
  if (j.owner_pidfd < 0 || getppid() != parent) refuse("supervise", "owner");
  (void)setsid();
  run.run_dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (run.run_dir < 0) refuse("open", dir);
  /* Held before it has its name: a collector must never find the lock of a run that is just starting free. */
  int lock = openat(run.run_dir, "lock.new", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) || renameat(run.run_dir, "lock.new", run.run_dir, "lock"))
    refuse("lock", dir);
  snprintf(run.stage, sizeof run.stage, "%s/stage", dir);
  snprintf(run.socket_path, sizeof run.socket_path, "%s", path);
  if (mkdir(run.stage, 0700) && errno != EEXIST) refuse("mkdir", run.stage);
  cgroups_discover(&run.cgroups, id);
  if (cgroups_record(&run.cgroups, run.run_dir)) refuse("record", dir);
  if (cgroups_create_run(&run.cgroups)) {
    cgroups_remove_run(&run.cgroups);
    refuse("cgroup", run.cgroups.run_name);
  }
  j.cgroups = run.cgroups;
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) refuse("socketpair", "");
  if (fcntl(OWNER, F_SETFD, FD_CLOEXEC)) refuse("supervise", "descriptor 3");
  struct clone3_args args = {.flags = CLONE_PIDFD | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET,
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
    supervisor_main(OWNER, pair[1]);
  }
  close(pair[1]);
  close(OWNER);
  for (int sig = 1; sig < 32; sig++)
    if (sig == SIGPIPE || sig == SIGHUP || sig == SIGINT || sig == SIGTERM) signal(sig, SIG_IGN);
  j.supervisor = pid;
  j.socket = pair[0];
  janitor_main(&j);
}

int main(int argc, char **argv) {
  static const struct {
    const char *name;
    int (*run)(int, char **);
  } commands[] = {{"supervise", cmd_supervise}, {"untar", cmd_untar}, {"tar", cmd_tar}, {"lock", cmd_lock},
                  {"gc", cmd_gc},               {"probe", cmd_probe}};
  for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof *commands; i++)
    if (!strcmp(argv[1], commands[i].name)) return commands[i].run(argc - 1, argv + 1);
  fprintf(stderr, "mayfly-native %s: supervise, untar, tar, lock, gc, probe\n", PACKAGE_VERSION);
  return 64;
}

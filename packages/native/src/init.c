/* A container's `init`: pid 1 that forwards signals, reaps, and ends as its child does. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "commands.h"
#include "ops.h"
#include "sys.h"

/* The child goes on with the list; the parent becomes `mayfly-native init`, executed anew from the sealed copy: what the
 * supervisor's memory knows of other containers is gone, and there is no file to write to behind /proc/1/exe
 * (CVE-2019-5736). */
int op_init(struct child *c) {
  if (apply_capabilities(c)) return fail(&c->failure, "init", "", "capset");
  if (c->self_fd < 0) return fail_with(&c->failure, ENOSYS, "init", "", "sealed copy");
  sigset_t all, before;
  sigfillset(&all);
  if (sigprocmask(SIG_SETMASK, &all, &before)) return fail(&c->failure, "init", "", "sigprocmask");
  pid_t child = fork(); /* not clone3, which the filter refuses by now */
  if (child < 0) return fail(&c->failure, "init", "", "fork");
  if (child == 0) {
    (void)setpgid(0, 0);
    if (isatty(0)) (void)tcsetpgrp(0, getpid());
    return sigprocmask(SIG_SETMASK, &before, NULL) ? fail(&c->failure, "init", "", "sigprocmask") : 0;
  }
  char number[16];
  snprintf(number, sizeof number, "%d", (int)child);
  char *argv[] = {"mayfly-init", "init", number, NULL}, *env[] = {NULL};
  for (int fd = 0; fd < 3; fd++) (void)close(fd);
  if (sys_close_range(3, ~0u, CLOSE_RANGE_CLOEXEC)) return fail(&c->failure, "init", "", "close_range");
  (void)syscall(SYS_execveat, c->self_fd, "", argv, env, AT_EMPTY_PATH);
  return fail(&c->failure, "init", "", "execveat");
}

static void reap(pid_t child) {
  for (;;) {
    int status;
    pid_t pid = waitpid(-1, &status, WNOHANG);
    if (pid <= 0) return;
    if (pid == child) _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
  }
}

/* Signals arrive blocked, so that none is lost between the fork and this loop. */
int cmd_init(int argc, char **argv) {
  pid_t child = argc == 2 ? (pid_t)strtol(argv[1], NULL, 10) : 0;
  if (child <= 0) return 64;
  (void)prctl(PR_SET_NAME, "mayfly-init", 0L, 0L, 0L);
  /* Where the pid namespace is shared, orphans would go to a pid 1 that does not know them. */
  if (getpid() != 1) (void)prctl(PR_SET_CHILD_SUBREAPER, 1L, 0L, 0L, 0L);
  sigset_t all;
  sigfillset(&all);
  for (;;) {
    reap(child);
    int number = sigwaitinfo(&all, NULL);
    if (number < 0 && errno != EINTR) return 70;
    if (number > 0 && number != SIGCHLD && kill(child, number) && errno != ESRCH) return 70;
  }
}

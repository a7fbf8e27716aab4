#include "relay.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys.h"
#include "userns.h"

enum { READY = 3, MAX_WORDS = 64, PATIENCE_MS = 10000 };

static _Noreturn void become(const struct janitor *j, const char *words, const char *hub, int ready) {
  char *argv[MAX_WORDS + 1], path[600];
  size_t n = 0;
  for (const char *at = words; *at && n < MAX_WORDS; at += strlen(at) + 1) argv[n++] = xstrdup(strcmp(at, "@") ? at : hub);
  argv[n] = NULL;
  snprintf(path, sizeof path, "%s/helpers.log", j->dir);
  int null = open("/dev/null", O_RDWR | O_CLOEXEC), log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  for (int sig = 1; sig < NSIG; sig++) signal(sig, SIG_DFL);
  (void)setsid();
  if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(log >= 0 ? log : null, 2) < 0) _exit(127);
  if (ready == READY ? fcntl(ready, F_SETFD, 0) : dup2(ready, READY) < 0) _exit(127);
  if (sys_close_range(READY + 1, ~0u, 0)) _exit(127);
  execv(argv[0], argv);
  _exit(127);
}

/* Some say that they are ready, others go on in a child of their own. */
static bool is_ready(int pidfd, int ready) {
  struct pollfd fds[] = {{ready, POLLIN, 0}, {pidfd, POLLIN, 0}};
  char byte;
  while (poll(fds, 2, PATIENCE_MS) > 0 || errno == EINTR) {
    if (fds[0].revents && read(ready, &byte, 1) == 1) return true;
    if (fds[0].revents) fds[0].fd = -1;
    siginfo_t info = {0};
    if (fds[1].revents) return !waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED) && info.si_code == CLD_EXITED && !info.si_status;
  }
  return false;
}

/* Between the janitor and the program, since who enters a pid namespace is not in it: its children are. */
static _Noreturn void lead(const struct janitor *j, const char *words, int told) {
  char hub[48];
  int ready[2], pidfd = -1;
  close(j->socket); /* the janitor's end is its own: the supervisor sees its death by it */
  if (pipe2(ready, O_CLOEXEC) || setns(j->userns, CLONE_NEWUSER) || userns_become_root() || setns(j->pid_ns, CLONE_NEWPID)) _exit(1);
  /* The program may close what it inherits before it comes to opening it: the path leads to this process's descriptor,
   * which one with fewer capabilities could not look at. Root's are back with its exec. */
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  const struct __user_cap_data_struct none[2] = {{0}};
  if (syscall(SYS_capset, &header, none) || prctl(PR_SET_DUMPABLE, 1L, 0L, 0L, 0L)) _exit(1);
  snprintf(hub, sizeof hub, "/proc/%d/fd/%d", getpid(), j->hub_ns);
  struct clone3_args args = {.flags = CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)&pidfd, .exit_signal = SIGCHLD};
  int pid = sys_clone3(&args);
  if (pid == 0) become(j, words, hub, ready[1]);
  if (pid < 0) _exit(1);
  close(ready[1]);
  _exit(is_ready(pidfd, ready[0]) && !write_all(told, "r", 1) ? 0 : 1);
}

int relay_start(const struct janitor *j, const char *words) {
  int told[2];
  if (j->userns < 0) {
    errno = EOPNOTSUPP;
    return -1;
  }
  if (pipe2(told, O_CLOEXEC)) return -1;
  pid_t pid = fork();
  if (pid == 0) lead(j, words, told[1]);
  int saved = errno;
  close(told[1]);
  if (pid > 0) return told[0];
  close(told[0]);
  errno = saved;
  return -1;
}

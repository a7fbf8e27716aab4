/* Many locks for one client, in one process: `take ID PATH`, `share ID PATH`, `try ID PATH`, `drop ID`, each with a NUL behind it, on
 * standard input; `locked ID`, `busy ID` (of a `try`), `dropped ID` and `failed ID STEP: ERRNO` as lines on standard output. The client's end releases all. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base.h"
#include "commands.h"

struct lock {
  unsigned id;
  int fd, how;
  bool once;
  pid_t waiter; /* a process that waits while somebody else holds it */
  char *path;
  struct lock *next;
};

static struct lock *locks;

static void say(const char *word, const struct lock *l, const char *more) {
  char line[128];
  int n = snprintf(line, sizeof line, "%s %u%s\n", word, l->id, more);
  if (write_all(1, line, (size_t)n) < 0) exit(1);
}

/* The waiter, and waiters for others, have descriptors of it as well, so that closing ours would release nothing. */
static void let_go(struct lock *l) {
  if (l->fd < 0) return;
  (void)flock(l->fd, LOCK_UN);
  close(l->fd);
  l->fd = -1;
}

static void drop(struct lock *l) {
  if (l->waiter > 0) {
    (void)kill(l->waiter, SIGKILL);
    while (waitpid(l->waiter, NULL, 0) < 0 && errno == EINTR);
  }
  let_go(l);
  struct lock **at = &locks;
  while (*at != l) at = &(*at)->next;
  *at = l->next;
  free(l->path);
  free(l);
}

static void give_up(struct lock *l, const char *step, int errnum) {
  char more[64];
  snprintf(more, sizeof more, " %s: %s", step, errno_name(errnum));
  say("failed", l, more);
  drop(l);
}

/* The lock belongs to the open file, which is this process's as well. */
static void wait_aside(struct lock *l) {
  pid_t parent = getpid(), child = fork();
  if (child < 0) {
    give_up(l, "fork", errno);
    return;
  }
  l->waiter = child;
  if (child > 0) return;
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0L, 0L, 0L) || getppid() != parent) _exit(EINTR);
  close(0);
  close(1);
  while (flock(l->fd, l->how) < 0)
    if (errno != EINTR) _exit(errno);
  _exit(0);
}

static void try(struct lock *l) {
  for (;;) {
    l->fd = open(l->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (l->fd < 0) {
      give_up(l, "open", errno);
      return;
    }
    if (flock(l->fd, l->how | LOCK_NB) < 0) {
      if (errno == EWOULDBLOCK && l->once) say("busy", l, ""), drop(l);
      else if (errno == EWOULDBLOCK) wait_aside(l);
      else give_up(l, "flock", errno);
      return;
    }
    if (lock_named(l->fd, AT_FDCWD, l->path)) break;
    let_go(l);
  }
  say("locked", l, "");
}

static void waited(struct lock *l, int status) {
  l->waiter = 0;
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    give_up(l, "flock", WIFEXITED(status) ? WEXITSTATUS(status) : EINTR);
  } else if (lock_named(l->fd, AT_FDCWD, l->path)) {
    say("locked", l, "");
  } else {
    let_go(l);
    try(l);
  }
}

static void reap(int signals) {
  struct signalfd_siginfo seen;
  (void)!read(signals, &seen, sizeof seen);
  for (struct lock *l = locks, *next; l != NULL; l = next) {
    next = l->next;
    int status;
    if (l->waiter > 0 && waitpid(l->waiter, &status, WNOHANG) == l->waiter) waited(l, status);
  }
}

/* False where the words are none. */
static bool obey(const char *words) {
  char word[8];
  unsigned id;
  int path = 0;
  if (sscanf(words, "%7s %u %n", word, &id, &path) < 2) return false;
  if (strcmp(word, "drop") == 0) {
    struct lock *l = locks, none = {.id = id};
    while (l != NULL && l->id != id) l = l->next;
    if (l != NULL) drop(l);
    say("dropped", &none, "");
    return true;
  }
  bool shared = strcmp(word, "share") == 0, once = strcmp(word, "try") == 0;
  if ((!shared && !once && strcmp(word, "take") != 0) || path == 0) return false;
  struct lock *l = xalloc(sizeof *l);
  *l = (struct lock){.id = id, .fd = -1, .how = shared ? LOCK_SH : LOCK_EX, .once = once, .path = xstrdup(words + path), .next = locks};
  locks = l;
  try(l);
  return true;
}

int cmd_locks(int argc, char **argv) {
  (void)argv;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  int signals = argc != 1 || sigprocmask(SIG_BLOCK, &set, NULL) ? -1 : signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (signals < 0) {
    fprintf(stderr, argc != 1 ? "usage: locks\n" : "locks: signalfd: %s\n", errno_name(errno));
    return 2;
  }
  struct buffer input = {0};
  for (bool good = true; good;) {
    struct pollfd both[2] = {{.fd = 0, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
    if (poll(both, 2, -1) < 0 && errno != EINTR) break;
    if (both[1].revents) reap(signals);
    if (!both[0].revents) continue;
    char part[PATH_MAX];
    ssize_t got = read(0, part, sizeof part);
    if (got == 0) break;
    if (got < 0 && errno != EINTR) break;
    if (got > 0) buffer_append(&input, part, (size_t)got);
    for (uint8_t *end; good && input.length > 0 && (end = memchr(input.data, 0, input.length)) != NULL;) {
      good = obey((const char *)input.data);
      buffer_consume(&input, (size_t)(end + 1 - input.data));
    }
  }
  while (locks != NULL) drop(locks);
  return 0;
}

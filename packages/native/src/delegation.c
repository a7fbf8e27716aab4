#include "delegation.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "base.h"

enum { EVACUATIONS = 100, ASK_MS = 10000 };

static const char *const wanted[] = {"memory", "cpu", "pids", "cpuset", "io"};

/* This process's cgroup as a directory below the mount; the mount itself where the path is not to be seen. */
static void own_directory(const char *mount, char *out, size_t size) {
  char text[4096], *path;
  ssize_t n = read_file_at(AT_FDCWD, "/proc/self/cgroup", text, sizeof text);
  path = n > 0 ? strstr(text, "0::/") : NULL;
  if (!path || (path != text && path[-1] != '\n')) path = NULL;
  if (path) path[strcspn(path, "\n")] = 0;
  if (path && !strncmp(path + 3, "/..", 3)) path = NULL;
  snprintf(out, size, "%s%s", mount, path && strcmp(path, "0::/") ? path + 3 : "");
  /* Where a container has the host's path but its own mount, or the leaf of another run. */
  if (access(out, F_OK)) snprintf(out, size, "%s", mount);
  char *last = strrchr(out, '/');
  if (!strcmp(last + 1, DELEGATION_LEAF)) *last = 0;
}

/* systemd from 251 on marks what it delegates; what it does not, it may tidy at any time. */
static bool marked(const char *dir) {
  char value = 0;
  return (getxattr(dir, "user.delegate", &value, 1) == 1 || getxattr(dir, "trusted.delegate", &value, 1) == 1) && value == '1';
}

static void move_processes(int from, int to) {
  char *pids = xalloc(65536);
  if (read_file_at(from, "cgroup.procs", pids, 65536) > 0)
    for (char *pid = strtok(pids, "\n"); pid; pid = strtok(NULL, "\n")) (void)write_file_at(to, "cgroup.procs", pid);
  free(pids);
}

/* Enables what there is for the children. EBUSY says that processes are in the way: they move into the leaf, again and
 * again, since any of them may fork meanwhile. */
static bool enable(int dir, bool evacuate) {
  char have[256];
  if (read_file_at(dir, "cgroup.controllers", have, sizeof have) < 0) return false;
  bool any = false;
  int leaf = -1;
  for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
    char word[16];
    snprintf(word, sizeof word, "+%s", wanted[i]);
    int failed = write_file_at(dir, "cgroup.subtree_control", word);
    for (int tries = 0; failed && errno == EBUSY && evacuate && tries < EVACUATIONS; tries++) {
      if (leaf < 0) (void)mkdirat(dir, DELEGATION_LEAF, 0755);
      if (leaf < 0) leaf = openat(dir, DELEGATION_LEAF, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
      if (leaf < 0) break;
      move_processes(dir, leaf);
      failed = write_file_at(dir, "cgroup.subtree_control", word);
    }
    if (!failed) any = true;
  }
  if (leaf >= 0) close(leaf);
  return any;
}

static int take(const char *dir, bool evacuate) {
  if (faccessat(AT_FDCWD, dir, W_OK, AT_EACCESS)) return -1;
  int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return -1;
  if (!flock(fd, LOCK_EX) && enable(fd, evacuate)) return fd;
  close(fd);
  return -1;
}

/* A scope of the user's systemd, with this process in it. It ends by itself when it is empty. */
static bool ask_systemd(const char *mount, const char *run_name) {
  char runtime[64], unit[96], pid[16], bus[80], own[PATH_MAX];
  snprintf(runtime, sizeof runtime, "/run/user/%u", (unsigned)geteuid());
  snprintf(bus, sizeof bus, "%s/bus", runtime);
  if (!getenv("DBUS_SESSION_BUS_ADDRESS") && access(bus, W_OK)) return false;
  snprintf(unit, sizeof unit, "%s.scope", run_name);
  snprintf(pid, sizeof pid, "%d", (int)getpid());
  const char *const words[] = {
    "busctl", "--user", "--quiet", "--timeout=10", "call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1",
    "org.freedesktop.systemd1.Manager", "StartTransientUnit", "ssa(sv)a(sa(sv))", unit, "fail",
    "5", "Description", "s", "Containers of a Mayfly run", "Delegate", "b", "true",
    "CollectMode", "s", "inactive-or-failed", "TimeoutStopUSec", "t", "2000000", "PIDs", "au", "1", pid, "0", NULL};
  pid_t child = fork();
  if (child < 0) return false;
  if (child == 0) {
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0) _exit(127);
    if (!getenv("XDG_RUNTIME_DIR")) (void)setenv("XDG_RUNTIME_DIR", runtime, 1);
    execvp(words[0], (char *const *)(uintptr_t)words);
    _exit(127);
  }
  int status;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return false;
  if (!WIFEXITED(status) || WEXITSTATUS(status)) return false;
  /* The answer says that a job is queued; that it is done is to be seen here. */
  uint64_t deadline = now_ns(CLOCK_MONOTONIC) + ASK_MS * 1000000ull;
  do {
    own_directory(mount, own, sizeof own);
    const char *last = strrchr(own, '/');
    if (!strcmp(last + 1, unit)) return true;
    (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
  } while (now_ns(CLOCK_MONOTONIC) < deadline);
  return false;
}

int delegation_find(const char *mount, const char *run_name, char *parent, size_t size) {
  char own[PATH_MAX];
  own_directory(mount, own, sizeof own);
  bool inside = !strcmp(own, mount);
  /* The hierarchy's root, the only one without a type, takes processes and controllers; in a container, that is another
   * cgroup's directory, and the container's processes may be in it. */
  snprintf(parent, size, "%s/cgroup.type", mount);
  bool container = !access(parent, F_OK);
  snprintf(parent, size, "%s", mount);
  int fd = take(parent, inside && container);
  if (fd < 0 && !inside && marked(own)) {
    snprintf(parent, size, "%s", own);
    fd = take(parent, true);
  }
  if (fd < 0 && !switched_off("systemd") && ask_systemd(mount, run_name)) {
    own_directory(mount, parent, size);
    fd = take(parent, true);
  }
  if (fd < 0 && !inside) {
    own_directory(mount, parent, size);
    fd = take(parent, true);
  }
  return fd;
}

void delegation_leave(const char *parent) {
  int dir = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int leaf = dir < 0 ? -1 : openat(dir, DELEGATION_LEAF, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *list = leaf < 0 || flock(dir, LOCK_EX) ? NULL : opendir(parent);
  bool last = list != NULL;
  for (struct dirent *e; list && (e = readdir(list));)
    if (!strncmp(e->d_name, "mayfly-", 7) && strcmp(e->d_name, DELEGATION_LEAF)) last = false;
  if (list) closedir(list);
  for (size_t i = 0; last && i < sizeof wanted / sizeof *wanted; i++) {
    char word[16];
    snprintf(word, sizeof word, "-%s", wanted[i]);
    (void)write_file_at(dir, "cgroup.subtree_control", word);
  }
  for (int tries = 0; last && tries < EVACUATIONS; tries++) {
    move_processes(leaf, dir);
    if (!unlinkat(dir, DELEGATION_LEAF, AT_REMOVEDIR) || errno != EBUSY) break;
  }
  if (leaf >= 0) close(leaf);
  if (dir >= 0) close(dir);
}

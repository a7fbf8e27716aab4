#include "userns.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base.h"

enum { MAX_EXTENTS = 340 }; /* the kernel's limit */

static bool entered;

bool userns_entered(void) { return entered; }
bool id_map_given(const struct id_map *m) { return *m->uids && *m->gids; }

/* "0:1000:1,1:100000:65536" as the kernel's lines; NULL for anything else. */
static char *lines_of(const char *map, size_t *extents) {
  char *text = xalloc(strlen(map) + 2);
  *extents = 1;
  for (size_t i = 0; map[i]; i++) {
    if (!strchr("0123456789:,", map[i])) {
      free(text);
      errno = EINVAL;
      return NULL;
    }
    if (map[i] == ',') ++*extents;
    text[i] = map[i] == ':' ? ' ' : map[i] == ',' ? '\n' : map[i];
  }
  text[strlen(map)] = '\n';
  return text;
}

static int write_proc(pid_t pid, const char *file, const char *text) {
  char path[48];
  snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
  return write_file_at(AT_FDCWD, path, text);
}

/* newuidmap and newgidmap lend what /etc/subuid and /etc/subgid allow; what they refuse, they say on standard error. */
static pid_t start_mapper(const char *program, pid_t pid, const char *map) {
  static char *argv[3 * MAX_EXTENTS + 3];
  char *text = xstrdup(map), number[16];
  size_t n = 0;
  snprintf(number, sizeof number, "%d", (int)pid);
  argv[n++] = xstrdup(program);
  argv[n++] = number;
  for (char *word = strtok(text, ":,"); word && n < 3 * MAX_EXTENTS + 2; word = strtok(NULL, ":,")) argv[n++] = word;
  argv[n] = NULL;
  pid_t child = fork();
  if (child == 0) {
    (void)dup2(2, 1);
    execvp(program, argv);
    _exit(errno == ENOENT ? 127 : 126);
  }
  free(argv[0]), free(text);
  return child;
}

static int mapped(pid_t child) {
  int status;
  if (child < 0) return -1;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return -1;
  if (WIFEXITED(status) && !WEXITSTATUS(status)) return 0;
  errno = WIFEXITED(status) && WEXITSTATUS(status) == 127 ? ENOENT : EPERM;
  return -1;
}

int userns_map(pid_t pid, const struct id_map *m, const char **step) {
  size_t uids, gids;
  *step = "id map";
  char *uid_lines = lines_of(m->uids, &uids), *gid_lines = uid_lines ? lines_of(m->gids, &gids) : NULL;
  if (!gid_lines) {
    free(uid_lines);
    return -1;
  }
  /* Written by hand where we may: one's own id always, everything with CAP_SETUID; else by the set-uid programs. */
  pid_t first = 0, second = 0;
  int result = 0;
  *step = "uid_map";
  if (write_proc(pid, "uid_map", uid_lines)) {
    if (errno != EPERM || uids == 1) result = -1;
    else first = start_mapper("newuidmap", pid, m->uids);
  }
  if (!result) {
    *step = "gid_map";
    if (write_proc(pid, "gid_map", gid_lines)) {
      if (errno != EPERM) result = -1;
      else if (gids > 1) second = start_mapper("newgidmap", pid, m->gids);
      /* CVE-2014-8989: who maps only its own group gives up dropping groups. */
      else result = write_proc(pid, "setgroups", "deny") || write_proc(pid, "gid_map", gid_lines) ? -1 : 0;
    }
  }
  int saved = errno;
  free(uid_lines), free(gid_lines);
  errno = saved;
  if (first && mapped(first) && !result) result = -1, *step = "newuidmap";
  if (second && mapped(second) && !result) result = -1, *step = "newgidmap";
  return result;
}

int userns_become_root(void) {
  /* EPERM: setgroups is denied with a map of one id, and then there is nothing to drop. */
  if (setgroups(0, NULL) && errno != EPERM) return -1;
  return setresgid(0, 0, 0) || setresuid(0, 0, 0) ? -1 : 0;
}

int userns_enter(const struct id_map *m, const char **step) {
  int go[2];
  *step = "pipe";
  if (pipe2(go, O_CLOEXEC)) return -1;
  /* The map is written from outside: by a child that stays there. */
  pid_t helper = fork();
  if (helper == 0) {
    char byte;
    close(go[1]);
    if (read(go[0], &byte, 1) != 1) _exit(0);
    const char *where = "";
    if (!userns_map(getppid(), m, &where)) _exit(0);
    fprintf(stderr, "mayfly-native: userns %s: %s\n", where, errno_name(errno));
    _exit(1);
  }
  close(go[0]);
  *step = "unshare";
  int result = helper < 0 ? -1 : unshare(CLONE_NEWUSER);
  int saved = errno;
  if (!result && write_all(go[1], "g", 1)) result = -1, saved = errno;
  close(go[1]);
  if (helper > 0 && mapped(helper) && !result) {
    *step = "id map";
    return -1;
  }
  errno = saved;
  if (result) return -1;
  entered = true;
  *step = "setresuid";
  return userns_become_root();
}

int userns_do(int fd, int (*work)(const char *), const char *argument) {
  if (fd < 0) return work(argument);
  pid_t child = fork();
  if (child == 0) _exit(setns(fd, CLONE_NEWUSER) || work(argument) ? 1 : 0);
  return mapped(child);
}

/* Removing whole trees, whatever a container left in them. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base.h"
#include "commands.h"

enum { DEPTH = 64, ROUNDS = 16 };

static int open_to_empty(int parent, const char *name) {
  int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  int fd = openat(parent, name, flags);
  /* A directory that its owner may not read can still be ours. */
  if (fd < 0 && errno == EACCES && fchmodat(parent, name, 0700, 0) == 0) fd = openat(parent, name, flags);
  return fd;
}

/* Under a name that is free: the container may have chosen ours. */
static int move_up(int fd, const char *name, int top, unsigned *moved) {
  for (;;) {
    char up[32];
    snprintf(up, sizeof up, ".mayfly-%u", (*moved)++);
    if (renameat(fd, name, top, up) == 0) return 0;
    if (errno != ENOTEMPTY && errno != EEXIST && errno != ENOTDIR) return -1;
  }
}

static int empty(int fd, int top, unsigned depth, unsigned *moved);

/* Directories below DEPTH are moved up into `top`, counted: a container may nest them without end, and each level down
 * costs a descriptor and a piece of the stack. ENOENT: somebody else was faster. */
static int remove_entry(int fd, const char *name, int top, unsigned depth, unsigned *moved) {
  if (unlinkat(fd, name, 0) == 0) return 0;
  if (errno != EISDIR && errno != EPERM) return -1;
  if (depth == DEPTH) return move_up(fd, name, top, moved);
  int below = open_to_empty(fd, name);
  if (below < 0 || empty(below, top, depth + 1, moved) < 0) return -1;
  return unlinkat(fd, name, AT_REMOVEDIR);
}

/* Takes over `fd`. Goes on after a failure; errno is that of the first. */
static int empty(int fd, int top, unsigned depth, unsigned *moved) {
  DIR *dir = fdopendir(fd);
  if (dir == NULL) {
    close(fd);
    return -1;
  }
  int failed = 0;
  for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
    const char *name = entry->d_name;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) continue;
    if (remove_entry(fd, name, top, depth, moved) < 0 && errno != ENOENT && failed == 0) failed = errno;
  }
  closedir(dir);
  errno = failed;
  return failed == 0 ? 0 : -1;
}

int remove_tree(int parent, const char *name) {
  if (unlinkat(parent, name, 0) == 0 || errno == ENOENT) return 0;
  if (errno != EISDIR && errno != EPERM) return -1;
  unsigned moved = 0, before;
  for (int round = 0;; round += moved == before) {
    before = moved;
    int top = open_to_empty(parent, name), list = top < 0 ? -1 : fcntl(top, F_DUPFD_CLOEXEC, 0);
    int result = list < 0 ? -1 : empty(list, top, 1, &moved);
    int saved = errno;
    if (top >= 0) close(top);
    errno = saved;
    if (result == 0 && moved > before) continue;
    if (result == 0 && unlinkat(parent, name, AT_REMOVEDIR) == 0) return 0;
    if (errno == ENOENT) return 0;
    /* Somebody who is ending may have put something into it meanwhile, but not for ever. */
    if ((errno != ENOTEMPTY && errno != EEXIST) || round == ROUNDS) return -1;
  }
}

int cmd_remove(int argc, char **argv) {
  int result = 0;
  for (int i = 1; i < argc; i++) {
    if (remove_tree(AT_FDCWD, argv[i]) == 0) continue;
    fprintf(stderr, "remove %s: %s\n", argv[i], errno_name(errno));
    result = 1;
  }
  return result;
}

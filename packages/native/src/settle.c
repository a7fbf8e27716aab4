/* Completes a fresh layer with what its lower layers decide; it reads what `untar` said about the layer. */
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base.h"
#include "commands.h"
#include "lookup.h"
#include "settle.h"

static const char *current = "-";

static int refuse(const char *reason) {
  fprintf(stderr, "settle %s: %s\n", current, reason);
  return 1;
}

int settle_link(int layer, const char *path, const char *target, const int *lowers, int count) {
  current = path;
  struct place from;
  char parent[4096];
  const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
  snprintf(parent, sizeof parent, "%.*s", slash ? (int)(slash - path) : 0, path);
  if (!lookup(lowers, count, target, &from)) return refuse("a hard link to a file that is not there");
  int dir = lookup_open(layer, parent, O_PATH | O_DIRECTORY), result = 0;
  struct stat st = {0};
  if (S_ISDIR(from.st.st_mode) || dir < 0) result = refuse("a hard link to a file that is not there");
  else if (fstat(dir, &st)) result = refuse(errno_name(errno));
  else if ((unlinkat(dir, name, 0) && errno != ENOENT) || linkat(from.parent, from.name, dir, name, 0))
    result = refuse(errno_name(errno));
  /* The archive has told the directory's time, or the layers below will. */
  const struct timespec times[2] = {st.st_atim, st.st_mtim};
  if (result == 0 && utimensat(dir, ".", times, 0)) result = refuse(errno_name(errno));
  if (dir >= 0) close(dir);
  close(from.parent);
  return result;
}

/* Attributes of the directory below; the overlay's own marks are its alone. */
static int take_over_xattrs(const struct place *below, int to) {
  int from = openat(below->parent, below->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), result = -1;
  char *names = xalloc(XATTR_LIST_MAX), *value = xalloc(XATTR_SIZE_MAX);
  ssize_t length = from < 0 ? -1 : flistxattr(from, names, XATTR_LIST_MAX);
  if (length < 0 && (from < 0 || errno != ENOTSUP)) goto end;
  for (const char *name = names; length > 0 && name < names + length; name += strlen(name) + 1) {
    if (strstr(name, ".overlay.") != NULL) continue;
    ssize_t size = fgetxattr(from, name, value, XATTR_SIZE_MAX);
    /* What the file system or the kernel keeps for itself was not unpacked either. */
    if (size < 0 || fsetxattr(to, name, value, (size_t)size, 0)) {
      if (errno != ENOTSUP && errno != EPERM) goto end;
    }
  }
  result = 0;
end:
  free(names);
  free(value);
  if (from >= 0) close(from);
  return result;
}

int settle_directory(int layer, const char *path, const int *lowers, int count) {
  current = path;
  struct place below;
  if (!lookup(lowers, count, path, &below)) return 0;
  int fd = S_ISDIR(below.st.st_mode) ? lookup_open(layer, path, O_RDONLY | O_DIRECTORY) : -1;
  if (fd < 0) {
    close(below.parent);
    return 0;
  }
  struct timespec times[2] = {below.st.st_atim, below.st.st_mtim};
  /* A change of owner clears some. */
  int result = fchown(fd, below.st.st_uid, below.st.st_gid) || take_over_xattrs(&below, fd) || fchmod(fd, below.st.st_mode & 07777) || futimens(fd, times);
  if (result) result = refuse(errno_name(errno));
  close(fd);
  close(below.parent);
  return result;
}

/* Hard links first, then directories, deepest first: a link changes its directory's time. */
int cmd_settle(int argc, char **argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: settle DIR LOWER...\n");
    return 2;
  }
  int *layers = xalloc((size_t)argc * sizeof *layers), count = argc - 2;
  for (int i = 1; i < argc; i++) {
    current = argv[i];
    layers[i - 1] = open(argv[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (layers[i - 1] < 0) return refuse(errno_name(errno));
  }
  char **implicit = NULL, *line = NULL;
  size_t implicits = 0, size = 0;
  for (ssize_t n; (n = getline(&line, &size, stdin)) > 0;) {
    if (line[n - 1] == '\n') line[n - 1] = 0;
    char *path = strchr(line, ' '), *target = path ? strchr(path, '\t') : NULL;
    current = line;
    if (path && !strncmp(line, "below ", 6) && target) {
      *target = 0;
      if (settle_link(layers[0], path + 1, target + 1, layers + 1, count)) return 1;
    } else if (path && !strncmp(line, "implicit ", 9)) {
      char **more = realloc(implicit, (implicits + 1) * sizeof *implicit);
      if (!more) return refuse("out of memory");
      implicit = more;
      implicit[implicits++] = xstrdup(path + 1);
    } else {
      return refuse("not a line of a report");
    }
  }
  /* untar tells parents before their children. */
  while (implicits > 0)
    if (settle_directory(layers[0], implicit[--implicits], layers + 1, count)) return 1;
  return 0;
}

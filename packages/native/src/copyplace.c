#include "copyplace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "copyfiles.h"
#include "sys.h"
#include "tarheader.h"

enum { LINKS = 40, ATTEMPTS = 1000 };

static int open_below(const struct place *p, const char *path, uint64_t flags) {
  /* In a container its own root holds every link; a magic one would lead to whatever a descriptor is of. */
  const uint64_t resolve = RESOLVE_NO_MAGICLINKS | (p->strict ? RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS : 0);
  int fd = -1;
  for (int i = 0; fd < 0 && i < ATTEMPTS; i++) {
    fd = sys_openat2(p->base, *path ? path : ".", flags | O_DIRECTORY | O_CLOEXEC, 0, resolve);
    if (fd < 0 && errno != EAGAIN && errno != EINTR) break;
  }
  return fd;
}

int place_open(struct place *p, const char *path) { return open_below(p, path, O_RDONLY); }

char *place_name(struct place *p, const char *archived) {
  char *path = xalloc(strlen(archived) + (p->to ? strlen(p->to) : 0) + 2), *end = path;
  bool first = true;
  for (const char *at = archived; *at;) {
    size_t n = strcspn(at, "/");
    if ((n == 2 && at[0] == '.' && at[1] == '.') || n > 255) goto bad;
    if (n > 0 && !(n == 1 && *at == '.')) {
      bool renamed = first && p->to && strlen(p->from) == n && !strncmp(p->from, at, n);
      const char *name = renamed ? p->to : at;
      size_t length = renamed ? strlen(p->to) : n;
      if (end != path) *end++ = '/';
      memcpy(end, name, length);
      end += length;
      first = false;
    }
    at += n;
    if (*at) at++;
  }
  *end = '\0';
  if ((size_t)(end - path) < TAR_PATH_MAX) return path;
bad:
  free(path);
  return NULL;
}

static int make_directory(const struct place *p, int dir, const char *name) {
  if (mkdirat(dir, name, 0755)) return errno == EEXIST ? 0 : -1;
  if (p->uid == (uid_t)-1) return 0;
  int result = fchownat(dir, name, p->uid, p->gid, AT_SYMLINK_NOFOLLOW);
  return result && errno == EINVAL ? 0 : result;
}

int place_parent(struct place *p, const char *path, bool make, const char **name) {
  const char *slash = strrchr(path, '/');
  *name = slash ? slash + 1 : path;
  if (!slash) return p->base;
  size_t n = (size_t)(slash - path);
  if (p->parent >= 0 && strlen(p->parent_path) == n && !strncmp(p->parent_path, path, n)) return p->parent;
  char *above = xstrdup(path);
  above[n] = '\0';
  int fd = open_below(p, above, O_PATH);
  if (fd < 0 && errno == ENOENT && make) {
    const char *own;
    int dir = place_parent(p, above, true, &own);
    if (dir >= 0 && !make_directory(p, dir, own)) fd = open_below(p, above, O_PATH);
  }
  if (fd < 0) {
    free(above);
    return -1;
  }
  if (p->parent >= 0) close(p->parent);
  free(p->parent_path);
  p->parent = fd;
  p->parent_path = above;
  return fd;
}

/* The directory of the root's that a path's last part is in, made with those above it. Takes over nothing. */
static int make_path(struct place *p, const char *path) {
  char *part = xstrdup(path);
  int fd = -1;
  for (char *at = part; fd >= 0 || at == part;) {
    char *end = at + 1 + strcspn(at + 1, "/"), kept = *end;
    *end = '\0';
    if (fd >= 0) close(fd);
    fd = copy_open(p->root, part, O_PATH | O_DIRECTORY);
    if (fd < 0 && errno == ENOENT) {
      char *slash = strrchr(part, '/');
      *slash = '\0';
      int above = copy_open(p->root, *part ? part : "/", O_PATH | O_DIRECTORY);
      *slash = '/';
      if (above >= 0 && !make_directory(p, above, slash + 1)) fd = copy_open(p->root, part, O_PATH | O_DIRECTORY);
      if (above >= 0) close(above);
    }
    *end = kept;
    if (!kept) break;
    at = end;
  }
  free(part);
  return fd;
}

/* The end of a path whose last part may be a link to what is missing: its directory, and the name there. */
static int last_part(struct place *p, char **path, bool parents, const char **name) {
  for (int i = 0; i < LINKS; i++) {
    char *slash = strrchr(*path, '/');
    *slash = '\0';
    const char *above = **path ? *path : "/";
    int dir = parents ? make_path(p, above) : copy_open(p->root, above, O_PATH | O_DIRECTORY);
    *slash = '/';
    *name = slash + 1;
    char link[4096];
    ssize_t n = dir < 0 ? -1 : readlinkat(dir, *name, link, sizeof link - 1);
    if (n < 0) return dir;
    close(dir);
    link[n] = '\0';
    char *next = xalloc(strlen(*path) + strlen(link) + 3);
    if (*link == '/') strcpy(next, link);
    else sprintf(next, "%.*s/%s", (int)(slash - *path), *path, link);
    free(*path);
    *path = next;
  }
  errno = ELOOP;
  return -1;
}

static char *first_part(const char *archived) {
  while (!strncmp(archived, "./", 2) || *archived == '/') archived++;
  char *name = xstrdup(archived);
  name[strcspn(name, "/")] = '\0';
  return name;
}

void place_begin(struct place *p, const char *target, uint32_t flags, const char *first, bool directory) {
  p->strict = flags & COPY_HOST;
  char *path = xstrdup(target);
  size_t n = strlen(path);
  bool parents = flags & COPY_PARENTS, asserted = n > 0 && path[n - 1] == '/';
  if (n > 1 && !strcmp(path + n - 2, "/.")) asserted = true, n -= 2;
  while (n > 0 && path[n - 1] == '/') n--;
  path[n] = '\0';
  const char *whole = *path ? path : "/";
  /* What is in a directory, and not the directory, is copied. */
  bool contents = !(flags & COPY_RESOURCE) || (directory && (!strcmp(first, ".") || !strncmp(first, "./", 2)));
  struct stat st;
  int fd = copy_open(p->root, whole, O_PATH);
  if (fd >= 0 && fstat(fd, &st)) copy_in_stop(target, "stat");
  if (fd < 0 && errno != ENOENT) copy_in_stop(target, "open");
  if (fd >= 0 && S_ISDIR(st.st_mode)) {
    p->base = fd;
  } else if (fd >= 0 && (directory || asserted || contents)) {
    errno = ENOTDIR;
    copy_in_stop(target, directory && !asserted ? "a directory cannot take the place of a file" : "open");
  } else {
    if (fd >= 0) close(fd);
    bool inside = fd < 0 && (contents || (asserted && !directory));
    /* A file is not put into a directory that is not there. */
    if (inside && !parents && !(contents && directory)) errno = ENOENT, copy_in_stop(target, "open");
    const char *name;
    int dir = last_part(p, &path, parents, &name);
    if (dir < 0) copy_in_stop(target, "open");
    if (inside) {
      if (make_directory(p, dir, name) || (p->base = openat(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0) copy_in_stop(target, "mkdir");
      close(dir);
    } else {
      p->base = dir;
      p->from = first_part(first);
      p->to = xstrdup(name);
    }
  }
  free(path);
}

/* The directories of a layer being unpacked; nothing is ever reached through a symbolic link. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base.h"
#include "commands.h"
#include "layer.h"

uint32_t path_bucket(const char *path, size_t length) {
  uint32_t hash = 2166136261u;
  for (size_t i = 0; i < length; i++) hash = (hash ^ (uint8_t)path[i]) * 16777619u;
  return (hash ^ hash >> 16) & 0xffff;
}

struct directory *find_directory(const char *path, size_t length) {
  for (struct directory *d = layer.buckets[path_bucket(path, length)]; d != NULL; d = d->next_in_bucket) {
    if (!d->dead && strncmp(d->path, path, length) == 0 && d->path[length] == '\0') return d;
  }
  return NULL;
}

struct directory *add_directory(const char *path, size_t length) {
  struct directory *d = xalloc(sizeof *d);
  *d = (struct directory){ .fd = -1, .mode = 0755 };
  d->path = xalloc(length + 1);
  memcpy(d->path, path, length);
  d->path[length] = '\0';
  uint32_t bucket = path_bucket(path, length);
  d->next_in_bucket = layer.buckets[bucket];
  layer.buckets[bucket] = d;
  if (layer.count == layer.capacity) {
    layer.capacity = layer.capacity == 0 ? 1024 : layer.capacity * 2;
    layer.all = realloc(layer.all, layer.capacity * sizeof *layer.all);
    if (layer.all == NULL) refuse("out of memory");
  }
  layer.all[layer.count++] = d;
  return d;
}

int open_beneath(const char *path, uint64_t flags) {
  struct open_how how = {
    .flags = flags | O_CLOEXEC | O_NOFOLLOW,
    .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
  };
  int fd;
  do fd = (int)syscall(SYS_openat2, layer.root, path, &how, sizeof how);
  while (fd < 0 && errno == EAGAIN);
  return fd;
}

int directory_fd(struct directory *d) {
  if (d->fd >= 0) return d->fd;
  d->fd = open_beneath(d->path, O_PATH | O_DIRECTORY);
  if (d->fd < 0) refuse_errno("open of the parent directory");
  struct directory *old = layer.open[layer.next_open];
  if (old != NULL && old->fd >= 0) {
    close(old->fd);
    old->fd = -1;
  }
  layer.open[layer.next_open] = d;
  layer.next_open = (layer.next_open + 1) % OPEN_DIRECTORIES;
  return d->fd;
}

const char *base_of(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash == NULL ? path : slash + 1;
}

bool is_whiteout(const struct stat *st) { return S_ISCHR(st->st_mode) && st->st_rdev == 0; }

void set_opaque(struct directory *parent, struct directory *d) {
  if (d->opaque) return;
  const char *name = layer.userxattr ? "user.overlay.opaque" : "trusted.overlay.opaque";
  if (fchdir(directory_fd(parent)) < 0) refuse_errno("fchdir");
  if (lsetxattr(d->path[0] == '\0' ? "." : base_of(d->path), name, "y", 1, 0) < 0) refuse_errno("setxattr");
  d->opaque = true;
}

static void remove_anything(int parent, const char *name) {
  if (remove_tree(parent, name) < 0) refuse_errno("remove");
}

void remove_entry(int parent, const char *path) {
  struct directory *d = find_directory(path, strlen(path));
  remove_anything(parent, base_of(path));
  if (d == NULL) return;
  size_t length = strlen(path);
  for (size_t i = 0; i < layer.count; i++) {
    struct directory *one = layer.all[i];
    if (one->dead || strncmp(one->path, path, length) != 0) continue;
    if (one->path[length] != '\0' && one->path[length] != '/') continue;
    one->dead = true;
    if (one->fd >= 0) close(one->fd);
    one->fd = -1;
  }
}

struct directory *make_directory(struct directory *parent, const char *path, size_t length, uint32_t mode, bool replace) {
  char *copy = xalloc(length + 1);
  memcpy(copy, path, length);
  copy[length] = '\0';
  int fd = directory_fd(parent);
  bool opaque = false;
  if (mkdirat(fd, base_of(copy), mode & 0777) < 0) {
    if (errno != EEXIST) refuse_errno("mkdir");
    struct stat st;
    if (fstatat(fd, base_of(copy), &st, AT_SYMLINK_NOFOLLOW) < 0) refuse_errno("stat");
    opaque = is_whiteout(&st);
    if (!opaque && !replace) refuse(S_ISLNK(st.st_mode) ? "a parent is a symbolic link" : "a parent is not a directory");
    remove_anything(fd, base_of(copy));
    if (mkdirat(fd, base_of(copy), mode & 0777) < 0) refuse_errno("mkdir");
  }
  struct directory *d = add_directory(path, length);
  d->setgid = parent->setgid;
  if (opaque) set_opaque(parent, d);
  free(copy);
  return d;
}

struct directory *parent_of(const char *path) {
  const char *slash = strrchr(path, '/');
  size_t length = slash == NULL ? 0 : (size_t)(slash - path);
  struct directory *d = find_directory(path, length);
  if (d != NULL) return d;
  struct directory *at = layer.all[0];
  for (size_t i = 1; i <= length; i++) {
    if (path[i] != '/') continue;
    struct directory *next = find_directory(path, i);
    at = next != NULL ? next : make_directory(at, path, i, 0755, false);
  }
  return at;
}

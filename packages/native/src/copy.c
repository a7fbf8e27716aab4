/* The root file system as a copy of its layers, for machines whose kernel gives no overlay. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "commands.h"
#include "ops.h"
#include "sys.h"

enum { DEEPEST = 1000, BUCKETS = 4096, XATTR_NAMES = 64 << 10, XATTR_VALUE = 64 << 10 };

/* Where the first name of an inode with several went, so that the others become links to it. */
struct first {
  struct first *next;
  ino_t inode;
  char path[];
};

struct copy {
  struct failure *failure;
  const char *operation;
  bool layer; /* whiteouts and opaque directories stay what they are */
  int root;
  struct first *firsts[BUCKETS];
  char path[PATH_MAX]; /* of the entry at hand, inside the root */
  char names[XATTR_NAMES], value[XATTR_VALUE];
};

static int wrong(struct copy *c, const char *step) { return fail(c->failure, c->operation, c->path, step); }

static bool is_overlays(const char *name) {
  return !strncmp(name, "trusted.overlay.", 16) || !strncmp(name, "user.overlay.", 13);
}

static bool is_opaque(int fd) {
  char value[2];
  return (fgetxattr(fd, "trusted.overlay.opaque", value, sizeof value) == 1 && value[0] == 'y') ||
         (fgetxattr(fd, "user.overlay.opaque", value, sizeof value) == 1 && value[0] == 'y');
}

static bool is_opaque_mark(const char *name) {
  return !strcmp(name, "trusted.overlay.opaque") || !strcmp(name, "user.overlay.opaque");
}

static int copy_xattrs(struct copy *c, int from, int to) {
  ssize_t n = flistxattr(from, c->names, sizeof c->names);
  if (n < 0) return errno == ENOTSUP ? 0 : wrong(c, "flistxattr");
  for (const char *name = c->names; name < c->names + n; name += strlen(name) + 1) {
    if (is_overlays(name) && !(c->layer && is_opaque_mark(name))) continue;
    ssize_t size = fgetxattr(from, name, c->value, sizeof c->value);
    if (size < 0) return wrong(c, "fgetxattr");
    if (fsetxattr(to, name, c->value, (size_t)size, 0) && errno != ENOTSUP && errno != EPERM) return wrong(c, "fsetxattr");
  }
  return 0;
}

/* Owner before mode: a change of owner clears the set-uid bit. Times last. */
static int copy_attributes(struct copy *c, int from, int to, const struct stat *st) {
  const struct timespec times[2] = {st->st_atim, st->st_mtim};
  if (fchown(to, st->st_uid, st->st_gid)) return wrong(c, "fchown");
  if (copy_xattrs(c, from, to)) return -1;
  if (fchmod(to, st->st_mode & 07777)) return wrong(c, "fchmod");
  return futimens(to, times) ? wrong(c, "futimens") : 0;
}

static int copy_content(struct copy *c, int from, int to, off_t size) {
  if (size == 0 || (!switched_off("reflink") && !ioctl(to, FICLONE, from))) return 0;
  bool range = !switched_off("copy_file_range");
  for (off_t left = size; left > 0;) {
    ssize_t n = range ? copy_file_range(from, NULL, to, NULL, (size_t)left, 0) : sendfile(to, from, NULL, (size_t)left);
    if (n < 0 && errno == EINTR) continue;
    /* Between file systems of different kinds: from 5.19 on only where they say so. */
    if (n < 0 && range && (errno == EXDEV || errno == EINVAL || errno == EOPNOTSUPP || errno == ENOSYS)) {
      range = false;
      continue;
    }
    if (n < 0) return wrong(c, range ? "copy_file_range" : "sendfile");
    if (n == 0) break;
    left -= n;
  }
  return 0;
}

static int copy_file(struct copy *c, int from_dir, int to_dir, const char *name, const struct stat *st) {
  int from = openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (from < 0) return wrong(c, "open");
  int to = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  int result = to < 0 ? wrong(c, "create") : copy_content(c, from, to, st->st_size);
  if (!result) result = copy_attributes(c, from, to, st);
  if (to >= 0 && close(to) && !result) result = wrong(c, "close");
  close(from);
  return result;
}

static int copy_other(struct copy *c, int from_dir, int to_dir, const char *name, const struct stat *st) {
  char target[PATH_MAX];
  const struct timespec times[2] = {st->st_atim, st->st_mtim};
  if (S_ISLNK(st->st_mode)) {
    ssize_t n = readlinkat(from_dir, name, target, sizeof target - 1);
    if (n < 0) return wrong(c, "readlink");
    target[n] = 0;
    if (symlinkat(target, to_dir, name)) return wrong(c, "symlink");
  } else {
    if (mknodat(to_dir, name, st->st_mode, st->st_rdev)) return wrong(c, "mknod");
    if (fchmodat(to_dir, name, st->st_mode & 07777, 0)) return wrong(c, "fchmodat");
  }
  if (fchownat(to_dir, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW)) return wrong(c, "fchownat");
  return utimensat(to_dir, name, times, AT_SYMLINK_NOFOLLOW) ? wrong(c, "utimensat") : 0;
}

/* 1 when the entry became a link to an earlier name of its inode. */
static int linked(struct copy *c, int to_dir, const char *name, const struct stat *st) {
  if (st->st_nlink < 2) return 0;
  struct first **bucket = &c->firsts[st->st_ino % BUCKETS];
  for (struct first *f = *bucket; f; f = f->next)
    if (f->inode == st->st_ino) return linkat(c->root, f->path, to_dir, name, 0) ? wrong(c, "link") : 1;
  size_t n = strlen(c->path);
  struct first *f = xalloc(sizeof *f + n + 1);
  f->inode = st->st_ino;
  memcpy(f->path, c->path, n + 1);
  f->next = *bucket;
  *bucket = f;
  return 0;
}

static int copy_directory(struct copy *c, int from, int to, int depth);

static int enter_directory(struct copy *c, int from_dir, int to_dir, const char *name, const struct stat *st, int depth) {
  int from = openat(from_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (from < 0) return wrong(c, "open");
  struct stat there;
  bool kept = !fstatat(to_dir, name, &there, AT_SYMLINK_NOFOLLOW) && S_ISDIR(there.st_mode) && !is_opaque(from);
  if (!kept && ((remove_tree(to_dir, name) && errno != ENOENT) || mkdirat(to_dir, name, 0700))) {
    close(from);
    return wrong(c, "mkdir");
  }
  int to = openat(to_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  int result = to < 0 ? wrong(c, "open copy") : copy_directory(c, from, to, depth);
  if (!result) result = copy_attributes(c, from, to, st);
  if (to >= 0) close(to);
  close(from);
  return result;
}

static int copy_entry(struct copy *c, int from, int to, const char *name, int depth) {
  struct stat st;
  if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW)) return wrong(c, "stat");
  if (S_ISDIR(st.st_mode)) return enter_directory(c, from, to, name, &st, depth);
  if (remove_tree(to, name) && errno != ENOENT) return wrong(c, "remove");
  if (!c->layer && S_ISCHR(st.st_mode) && st.st_rdev == 0) return 0; /* a whiteout: what lay below is gone */
  int made = linked(c, to, name, &st);
  if (made) return made < 0 ? -1 : 0;
  return S_ISREG(st.st_mode) ? copy_file(c, from, to, name, &st) : copy_other(c, from, to, name, &st);
}

static int copy_directory(struct copy *c, int from, int to, int depth) {
  int listed = dup(from);
  DIR *d = listed < 0 ? NULL : fdopendir(listed);
  if (!d) {
    if (listed >= 0) close(listed);
    return wrong(c, "opendir");
  }
  size_t length = strlen(c->path);
  int result = depth > DEEPEST ? fail_with(c->failure, ELOOP, c->operation, c->path, "depth") : 0;
  for (struct dirent *e; !result && (errno = 0, e = readdir(d));) {
    if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
    int n = snprintf(c->path + length, sizeof c->path - length, "%s%s", length ? "/" : "", e->d_name);
    if (n < 0 || (size_t)n >= sizeof c->path - length) result = fail_with(c->failure, ENAMETOOLONG, c->operation, e->d_name, "path");
    else result = copy_entry(c, from, to, e->d_name, depth + 1);
    c->path[length] = 0;
  }
  closedir(d);
  return result;
}

/* Takes over `from`. */
static int copy_layer(struct copy *c, int from, const char *layer) {
  struct stat st;
  if (from < 0 || fstat(from, &st)) return fail(c->failure, c->operation, layer, "open layer");
  int result = copy_directory(c, from, c->root, 0);
  if (!result) result = copy_attributes(c, from, c->root, &st);
  close(from);
  for (size_t i = 0; i < BUCKETS; i++)
    for (struct first *f; (f = c->firsts[i]);) {
      c->firsts[i] = f->next;
      free(f);
    }
  return result;
}

int op_rootfs_copy(struct child *child, struct reader *r) {
  uint16_t n = get_u16(r);
  char **layers = xalloc(((size_t)n + 1) * sizeof *layers);
  for (uint16_t i = 0; i < n; i++) layers[i] = get_str_dup(r);
  char *directory = get_str_dup(r);
  if (r->bad) return 0;
  struct copy *c = xalloc(sizeof *c);
  c->failure = &child->failure;
  c->operation = "rootfs.copy";
  /* Without layers it is one that was made before. */
  if (n && mkdir(directory, 0755)) return fail(&child->failure, "rootfs.copy", directory, "mkdir");
  c->root = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (c->root < 0) return fail(&child->failure, "rootfs.copy", directory, "open");
  mode_t old = umask(0);
  for (uint16_t i = n; i > 0; i--)
    if (copy_layer(c, open(layers[i - 1], O_RDONLY | O_DIRECTORY | O_CLOEXEC), layers[i - 1])) return -1;
  umask(old);
  close(c->root);
  free(c);
  for (uint16_t i = 0; i < n; i++) free(layers[i]);
  free(layers);
  int result = mount_directory(child, directory);
  free(directory);
  return result;
}

int copy_upper(int from, const char *directory, struct failure *f) {
  struct copy *c = xalloc(sizeof *c);
  c->failure = f;
  c->operation = "scratch.save";
  c->layer = true;
  c->root = mkdir(directory, 0755) ? -1 : open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (c->root < 0) {
    close(from);
    free(c);
    return fail(f, "scratch.save", directory, "mkdir");
  }
  mode_t old = umask(0);
  int result = copy_layer(c, from, "upper");
  umask(old);
  close(c->root);
  free(c);
  return result;
}

static int is_empty(int directory) {
  int listed = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *d = listed < 0 ? NULL : fdopendir(listed);
  if (!d) {
    if (listed >= 0) close(listed);
    return -1;
  }
  int empty = 1;
  for (struct dirent *e; empty == 1 && (errno = 0, e = readdir(d));)
    if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..")) empty = 0;
  if (errno) empty = -1;
  closedir(d);
  return empty;
}

int copy_seed(int from, const char *directory, struct failure *f) {
  int to = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int empty = to < 0 ? -1 : is_empty(to);
  int result = empty < 0 ? fail(f, "mount.bind", directory, "seed") : 0;
  if (empty == 1) {
    struct copy *c = xalloc(sizeof *c);
    c->failure = f;
    c->operation = "mount.bind";
    c->root = to;
    mode_t old = umask(0);
    result = copy_layer(c, from, directory);
    umask(old);
    free(c);
  } else if (from >= 0) {
    close(from);
  }
  if (to >= 0) close(to);
  return result;
}

/* What each kind of tar entry makes in a layer. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base.h"
#include "layer.h"
#include "userns.h"

#define MAX_DEPTH 255u
#define WRITE_LEAST (64u << 10)

/* The name relative to the root without empty and `.` parts, in place. */
static void clean_path(char *path) {
  char *out = path;
  const char *at = path;
  unsigned depth = 0;
  while (*at) {
    size_t length = strcspn(at, "/");
    if (length == 2 && at[0] == '.' && at[1] == '.') refuse("a name with ..");
    if (length > 255) refuse("a name is too long");
    if (length > 0 && !(length == 1 && at[0] == '.')) {
      if (++depth > MAX_DEPTH) refuse("directories are nested too deeply");
      if (out != path) *out++ = '/';
      memmove(out, at, length);
      out += length;
    }
    at += length;
    if (*at == '/') at++;
  }
  *out = '\0';
  if ((size_t)(out - path) >= TAR_PATH_MAX) refuse("a name is too long");
}

static bool wanted_xattr(const char *name) {
  return strcmp(name, OWNER_XATTR) != 0 && strncmp(name, "trusted.overlay.", 16) != 0 && strncmp(name, "user.overlay.", 13) != 0 &&
         strstr(name, ".overlay.") == NULL;
}

static void set_xattrs(int parent, const char *name, const struct tar_entry *e) {
  for (size_t i = 0; i < e->xattr_count; i++) {
    if (!wanted_xattr(e->xattrs[i].name)) continue;
    if (fchdir(parent) < 0) refuse_errno("fchdir");
    if (lsetxattr(name, e->xattrs[i].name, e->xattrs[i].value, e->xattrs[i].length, 0) == 0) continue;
    /* Docker also goes on when the file system, or a rootless user, cannot hold an attribute. */
    if (errno != ENOTSUP && !(errno == EPERM && (layer.uid != 0 || userns_entered()))) refuse_errno("setxattr");
  }
}

/* Kept for layers that are made of the file later. Links and devices hold no such attribute. */
static void record_owner(int parent, const char *name, const struct tar_entry *e) {
  char owner[32];
  int length = snprintf(owner, sizeof owner, "%u:%u", e->uid, e->gid);
  if (fchdir(parent) < 0) refuse_errno("fchdir");
  if (lsetxattr(name, OWNER_XATTR, owner, (size_t)length, 0) < 0 && errno != ENOTSUP && errno != EPERM && errno != EACCES)
    refuse_errno("setxattr");
}

/* Order: owner, attributes, mode; times are the caller's. A change of owner clears setuid and capabilities. */
static void set_attributes(struct directory *parent, const char *name, const struct tar_entry *e, bool has_mode) {
  int fd = directory_fd(parent);
  bool special = (e->mode & 07000) != 0 || parent->setgid;
  if (layer.keep_owner && (e->uid != layer.uid || e->gid != layer.gid || parent->setgid) &&
      fchownat(fd, name, e->uid, e->gid, AT_SYMLINK_NOFOLLOW) < 0) {
    refuse_errno("chown");
  }
  if (!layer.keep_owner && (e->uid != 0 || e->gid != 0)) record_owner(fd, name, e);
  set_xattrs(fd, name, e);
  if (has_mode && special && fchmodat(fd, name, e->mode, 0) < 0) refuse_errno("chmod");
}

void set_times(int fd, const char *name, struct timespec mtime) {
  struct timespec both[2] = { mtime, mtime };
  if (utimensat(fd, name, both, AT_SYMLINK_NOFOLLOW) < 0) refuse_errno("utimes");
}

static void make_file(struct directory *parent, const struct tar_entry *e) {
  int dir = directory_fd(parent);
  const char *name = base_of(e->path);
  int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  int fd = openat(dir, name, flags, e->mode & 0777);
  if (fd < 0 && errno == EEXIST) {
    remove_entry(dir, e->path);
    fd = openat(dir, name, flags, e->mode & 0777);
  }
  if (fd < 0) refuse_errno("create");
  for (uint64_t left = e->size; left > 0;) {
    size_t have = input_available(left < WRITE_LEAST ? (size_t)left : WRITE_LEAST);
    if (have == 0) refuse("the archive is cut off");
    size_t part = have < left ? have : (size_t)left;
    if (write_all(fd, layer.buffer + layer.at, part) < 0) refuse_errno("write");
    layer.at += part;
    left -= part;
  }
  set_attributes(parent, name, e, true);
  struct timespec both[2] = { e->mtime, e->mtime };
  if (futimens(fd, both) < 0) refuse_errno("utimes");
  if (close(fd) < 0) refuse_errno("close");
}

static void enter_directory(const struct tar_entry *e) {
  struct directory *d = find_directory(e->path, strlen(e->path)), *parent = layer.all[0];
  bool root = e->path[0] == '\0', fresh = d == NULL;
  if (!root) {
    parent = parent_of(e->path);
    if (d == NULL) d = make_directory(parent, e->path, strlen(e->path), e->mode | 0700, true);
  }
  d->listed = true;
  d->mode = e->mode;
  d->uid = e->uid;
  d->gid = e->gid;
  d->mtime = e->mtime;
  /* A mode that would lock out an unprivileged writer, or that an earlier entry set otherwise, comes at the end. */
  d->late_mode = !fresh || (e->mode & 0700) != 0700;
  set_attributes(parent, root ? "." : base_of(e->path), e, !d->late_mode);
  d->setgid = d->setgid || (e->mode & 02000) != 0;
}

static void make_node(struct directory *parent, const struct tar_entry *e) {
  int dir = directory_fd(parent);
  const char *name = base_of(e->path);
  for (int attempt = 0;; attempt++) {
    int done;
    if (e->type == '2') {
      if (e->link[0] == '\0') refuse("a symbolic link to nothing");
      done = symlinkat(e->link, dir, name);
    } else {
      mode_t type = e->type == '3' ? S_IFCHR : e->type == '4' ? S_IFBLK : S_IFIFO;
      if (e->type != '6' && e->major == 0 && e->minor == 0) refuse("a device that would be a whiteout");
      done = mknodat(dir, name, type | (e->mode & 0777), e->type == '6' ? 0 : makedev(e->major, e->minor));
    }
    if (done == 0) break;
    /* Only root makes devices; a container gets those it needs from its own /dev. */
    if (errno == EPERM && userns_entered() && e->type != '2' && e->type != '6') {
      layer.devices++;
      return;
    }
    if (errno != EEXIST || attempt > 0) refuse_errno(e->type == '2' ? "symlink" : "mknod");
    remove_entry(dir, e->path);
  }
  set_attributes(parent, name, e, e->type != '2');
  set_times(dir, name, e->mtime);
}

/* A link to a link that is still to be made goes where that one goes. */
static const char *below_target(const char *path) {
  for (size_t at = layer.below_buckets[path_bucket(path, strlen(path))]; at > 0; at = layer.below[at - 1].next_in_bucket)
    if (strcmp(layer.below[at - 1].path, path) == 0) return layer.below[at - 1].target;
  return path;
}

static void note_below(const char *path, const char *target) {
  layer.below = realloc(layer.below, (layer.below_count + 1) * sizeof *layer.below);
  if (layer.below == NULL) refuse("out of memory");
  size_t *bucket = &layer.below_buckets[path_bucket(path, strlen(path))];
  layer.below[layer.below_count] =
    (struct below){ .path = xstrdup(path), .target = xstrdup(below_target(target)), .next_in_bucket = *bucket };
  *bucket = ++layer.below_count;
}

static void make_hard_link(struct directory *parent, const struct tar_entry *e) {
  clean_path(e->link);
  if (e->link[0] == '\0') refuse("a hard link to the root");
  if (strncmp(e->link, ".wh.", 4) == 0 || strstr(e->link, "/.wh.") != NULL) refuse("a hard link to a whiteout");
  if (strcmp(e->link, e->path) == 0) refuse("a hard link to itself");
  int dir = directory_fd(parent);
  int target = open_beneath(e->link, O_PATH);
  if (target < 0 && errno != ENOENT) {
    refuse(errno == ELOOP || errno == EXDEV ? "a hard link through a symbolic link" : "a hard link to an unusable name");
  }
  struct stat st = { 0 };
  if (target >= 0 && fstat(target, &st) < 0) refuse_errno("stat");
  if (target >= 0) close(target);
  if (S_ISDIR(st.st_mode)) refuse("a hard link to a directory");
  if (target < 0 || is_whiteout(&st)) {
    if (target >= 0) refuse("a hard link to a removed file");
    remove_entry(dir, e->path);
    note_below(e->path, e->link);
    return;
  }
  size_t length = strlen(e->path);
  if (strncmp(e->link, e->path, length) == 0 && e->link[length] == '/') refuse("a hard link that replaces its target");
  const char *slash = strrchr(e->link, '/');
  struct directory *from = find_directory(e->link, slash == NULL ? 0 : (size_t)(slash - e->link));
  if (from == NULL) refuse("a hard link to an unusable name");
  if (linkat(directory_fd(from), base_of(e->link), directory_fd(parent), base_of(e->path), 0) == 0) return;
  if (errno != EEXIST) refuse_errno("link");
  remove_entry(directory_fd(parent), e->path);
  if (linkat(directory_fd(from), base_of(e->link), directory_fd(parent), base_of(e->path), 0) < 0) refuse_errno("link");
}

static void white_out(struct directory *parent, const char *path, const char *name) {
  if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) refuse("a whiteout of no name");
  int dir = directory_fd(parent);
  if (mknodat(dir, name, S_IFCHR, 0) == 0) {
    parent->whiteouts++;
    return;
  }
  if (errno != EEXIST) refuse_errno("mknod");
  /* This layer has the name itself, so only what lies below goes: of directories that means opaque. */
  size_t prefix = (size_t)(base_of(path) - path);
  char *whole = xalloc(prefix + strlen(name) + 1);
  memcpy(whole, path, prefix);
  strcpy(whole + prefix, name);
  struct directory *d = find_directory(whole, strlen(whole));
  if (d != NULL) set_opaque(parent, d);
  free(whole);
}

void layer_enter(struct tar_entry *e) {
  clean_path(e->path);
  layer.current = e->path;
  if (e->path[0] == '\0') {
    if (e->type != '5') refuse("the root must be a directory");
    layer.current = ".";
    enter_directory(e);
    return;
  }
  const char *name = base_of(e->path);
  const char *marker = strncmp(e->path, ".wh.", 4) == 0 ? e->path : strstr(e->path, "/.wh.");
  if (marker != NULL) {
    if (*marker == '/') marker++;
    if (marker == name && strcmp(name, ".wh..wh..opq") == 0) {
      struct directory *d = parent_of(e->path);
      struct directory *above = d->path[0] == '\0' ? d : parent_of(d->path);
      set_opaque(above, d);
    } else if (strncmp(marker, ".wh..wh.", 8) != 0) {
      if (marker != name) refuse("a name inside a whiteout");
      white_out(parent_of(e->path), e->path, name + 4);
    }
    return;
  }
  switch (e->type) {
    case '0': make_file(parent_of(e->path), e); break;
    case '1': make_hard_link(parent_of(e->path), e); break;
    case '2': case '3': case '4': case '6': make_node(parent_of(e->path), e); break;
    case '5': enter_directory(e); break;
    case 'S': refuse("sparse files are not supported");
    default: refuse("an unknown kind of entry");
  }
}

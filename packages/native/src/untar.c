#include "untar.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base.h"

#define READ_BUFFER (1u << 20)
#define MAX_ENTRIES 1000000u
#define MAX_DEPTH 255u
#define OPEN_DIRECTORIES 128u

/* A directory of the layer: every one is known here, so "it exists but is not known" means "it is something else". */
struct directory {
  struct directory *next_in_bucket;
  char *path;
  int fd;
  uint32_t mode;
  struct timespec mtime;
  bool listed, dead, opaque, setgid, late_mode;
  uint32_t whiteouts;
};

struct below {
  char *path;
  char *target;
};

static struct {
  int root;
  bool userxattr, keep_owner;
  uid_t uid;
  gid_t gid;
  uint64_t max_bytes, bytes, entries;
  const char *current;
  struct directory **all;
  size_t count, capacity;
  struct directory *buckets[65536];
  struct directory *open[OPEN_DIRECTORIES];
  size_t next_open;
  struct below *below;
  size_t below_count;
  uint8_t *buffer;
  size_t at, filled;
  bool ended;
} u;

static _Noreturn void refuse(const char *reason) {
  char name[512];
  size_t i = 0;
  for (const char *at = u.current; *at && i < sizeof name - 1; at++) {
    name[i++] = (unsigned char)*at < 0x20 || *at == 0x7f ? '?' : *at;
  }
  name[i] = '\0';
  fprintf(stderr, "untar %s: %s\n", name, reason);
  exit(1);
}

static _Noreturn void refuse_errno(const char *step) {
  char reason[128];
  snprintf(reason, sizeof reason, "%s: %s", step, errno_name(errno));
  refuse(reason);
}

/* --- input --- */

static void fill(void) {
  if (u.at > 0) {
    memmove(u.buffer, u.buffer + u.at, u.filled - u.at);
    u.filled -= u.at;
    u.at = 0;
  }
  ssize_t got;
  do got = read(0, u.buffer + u.filled, READ_BUFFER - u.filled);
  while (got < 0 && errno == EINTR);
  if (got < 0) refuse_errno("read");
  if (got == 0) u.ended = true;
  u.filled += (size_t)got;
}

/* Makes `wanted` bytes (at most the buffer) available, fewer only at the end of the input. */
static size_t available(size_t wanted) {
  while (u.filled - u.at < wanted && !u.ended) fill();
  return u.filled - u.at;
}

static void skip(uint64_t length) {
  while (length > 0) {
    size_t have = available(1);
    if (have == 0) refuse("the archive is cut off");
    size_t part = have < length ? have : (size_t)length;
    u.at += part;
    length -= part;
  }
}

static uint64_t padding(uint64_t size) { return (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK; }

/* --- directories --- */

static uint32_t bucket_of(const char *path, size_t length) {
  uint32_t hash = 2166136261u;
  for (size_t i = 0; i < length; i++) hash = (hash ^ (uint8_t)path[i]) * 16777619u;
  return (hash ^ hash >> 16) & 0xffff;
}

static struct directory *find(const char *path, size_t length) {
  for (struct directory *d = u.buckets[bucket_of(path, length)]; d != NULL; d = d->next_in_bucket) {
    if (!d->dead && strncmp(d->path, path, length) == 0 && d->path[length] == '\0') return d;
  }
  return NULL;
}

static struct directory *add_directory(const char *path, size_t length) {
  struct directory *d = xalloc(sizeof *d);
  *d = (struct directory){ .fd = -1, .mode = 0755 };
  d->path = xalloc(length + 1);
  memcpy(d->path, path, length);
  d->path[length] = '\0';
  uint32_t bucket = bucket_of(path, length);
  d->next_in_bucket = u.buckets[bucket];
  u.buckets[bucket] = d;
  if (u.count == u.capacity) {
    u.capacity = u.capacity == 0 ? 1024 : u.capacity * 2;
    u.all = realloc(u.all, u.capacity * sizeof *u.all);
    if (u.all == NULL) refuse("out of memory");
  }
  u.all[u.count++] = d;
  return d;
}

static int open_beneath(const char *path, uint64_t flags) {
  struct open_how how = {
    .flags = flags | O_CLOEXEC | O_NOFOLLOW,
    .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
  };
  int fd;
  do fd = (int)syscall(SYS_openat2, u.root, path, &how, sizeof how);
  while (fd < 0 && errno == EAGAIN);
  return fd;
}

static int directory_fd(struct directory *d) {
  if (d->fd >= 0) return d->fd;
  d->fd = open_beneath(d->path, O_PATH | O_DIRECTORY);
  if (d->fd < 0) refuse_errno("open of the parent directory");
  struct directory *old = u.open[u.next_open];
  if (old != NULL && old->fd >= 0) {
    close(old->fd);
    old->fd = -1;
  }
  u.open[u.next_open] = d;
  u.next_open = (u.next_open + 1) % OPEN_DIRECTORIES;
  return d->fd;
}

static const char *base_of(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash == NULL ? path : slash + 1;
}

static bool is_whiteout(const struct stat *st) { return S_ISCHR(st->st_mode) && st->st_rdev == 0; }

static void set_opaque(struct directory *parent, struct directory *d) {
  if (d->opaque) return;
  const char *name = u.userxattr ? "user.overlay.opaque" : "trusted.overlay.opaque";
  if (fchdir(directory_fd(parent)) < 0) refuse_errno("fchdir");
  if (lsetxattr(d->path[0] == '\0' ? "." : base_of(d->path), name, "y", 1, 0) < 0) refuse_errno("setxattr");
  d->opaque = true;
}

static void remove_tree(int parent, const char *name) {
  if (unlinkat(parent, name, 0) == 0 || errno == ENOENT) return;
  if (errno != EISDIR && errno != EPERM) refuse_errno("unlink");
  int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  DIR *dir = fd < 0 ? NULL : fdopendir(fd);
  if (dir == NULL) refuse_errno("opendir");
  for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) remove_tree(dirfd(dir), entry->d_name);
  }
  closedir(dir);
  if (unlinkat(parent, name, AT_REMOVEDIR) < 0) refuse_errno("rmdir");
}

/* Takes away what an earlier entry made under this name. */
static void remove_entry(int parent, const char *path) {
  struct directory *d = find(path, strlen(path));
  remove_tree(parent, base_of(path));
  if (d == NULL) return;
  size_t length = strlen(path);
  for (size_t i = 0; i < u.count; i++) {
    struct directory *one = u.all[i];
    if (one->dead || strncmp(one->path, path, length) != 0) continue;
    if (one->path[length] != '\0' && one->path[length] != '/') continue;
    one->dead = true;
    if (one->fd >= 0) close(one->fd);
    one->fd = -1;
  }
}

/* mkdir that takes the place of a whiteout (then opaque: the lower directory is hidden) or, with `replace`, of anything. */
static struct directory *make_directory(struct directory *parent, const char *path, size_t length, uint32_t mode,
                                        bool replace) {
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
    remove_tree(fd, base_of(copy));
    if (mkdirat(fd, base_of(copy), mode & 0777) < 0) refuse_errno("mkdir");
  }
  struct directory *d = add_directory(path, length);
  d->setgid = parent->setgid;
  if (opaque) set_opaque(parent, d);
  free(copy);
  return d;
}

/* The parent of `path`, made (without an entry of its own) when it is missing. */
static struct directory *parent_of(const char *path) {
  const char *slash = strrchr(path, '/');
  size_t length = slash == NULL ? 0 : (size_t)(slash - path);
  struct directory *d = find(path, length);
  if (d != NULL) return d;
  struct directory *at = u.all[0];
  for (size_t i = 1; i <= length; i++) {
    if (path[i] != '/') continue;
    struct directory *next = find(path, i);
    at = next != NULL ? next : make_directory(at, path, i, 0755, false);
  }
  return at;
}

/* --- names --- */

/* The name relative to the root without empty and `.` parts, in place. */
static void clean(char *path) {
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

/* --- attributes --- */

static bool wanted_xattr(const char *name) {
  return strncmp(name, "trusted.overlay.", 16) != 0 && strncmp(name, "user.overlay.", 13) != 0 &&
         strstr(name, ".overlay.") == NULL;
}

static void set_xattrs(int parent, const char *name, const struct tar_entry *e) {
  for (size_t i = 0; i < e->xattr_count; i++) {
    if (!wanted_xattr(e->xattrs[i].name)) continue;
    if (fchdir(parent) < 0) refuse_errno("fchdir");
    if (lsetxattr(name, e->xattrs[i].name, e->xattrs[i].value, e->xattrs[i].length, 0) == 0) continue;
    /* Docker also goes on when the file system, or a rootless user, cannot hold an attribute. */
    if (errno != ENOTSUP && !(errno == EPERM && u.uid != 0)) refuse_errno("setxattr");
  }
}

/* Order: owner, attributes, mode; times are the caller's. A change of owner clears setuid and capabilities. */
static void set_attributes(struct directory *parent, const char *name, const struct tar_entry *e, bool has_mode) {
  int fd = directory_fd(parent);
  bool special = (e->mode & 07000) != 0 || parent->setgid;
  if (u.keep_owner && (e->uid != u.uid || e->gid != u.gid || parent->setgid) &&
      fchownat(fd, name, e->uid, e->gid, AT_SYMLINK_NOFOLLOW) < 0) {
    refuse_errno("chown");
  }
  set_xattrs(fd, name, e);
  if (has_mode && special && fchmodat(fd, name, e->mode, 0) < 0) refuse_errno("chmod");
}

static void set_times(int fd, const char *name, struct timespec mtime) {
  struct timespec both[2] = { mtime, mtime };
  if (utimensat(fd, name, both, AT_SYMLINK_NOFOLLOW) < 0) refuse_errno("utimes");
}

/* --- entries --- */

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
    size_t have = available(left < READ_BUFFER ? (size_t)left : READ_BUFFER / 4);
    if (have == 0) refuse("the archive is cut off");
    size_t part = have < left ? have : (size_t)left;
    if (write_all(fd, u.buffer + u.at, part) < 0) refuse_errno("write");
    u.at += part;
    left -= part;
  }
  set_attributes(parent, name, e, true);
  struct timespec both[2] = { e->mtime, e->mtime };
  if (futimens(fd, both) < 0) refuse_errno("utimes");
  if (close(fd) < 0) refuse_errno("close");
}

static void enter_directory(const struct tar_entry *e) {
  struct directory *d = find(e->path, strlen(e->path)), *parent = u.all[0];
  bool root = e->path[0] == '\0', fresh = d == NULL;
  if (!root) {
    parent = parent_of(e->path);
    if (d == NULL) d = make_directory(parent, e->path, strlen(e->path), e->mode | 0700, true);
  }
  d->listed = true;
  d->mode = e->mode;
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
    if (errno != EEXIST || attempt > 0) refuse_errno(e->type == '2' ? "symlink" : "mknod");
    remove_entry(dir, e->path);
  }
  set_attributes(parent, name, e, e->type != '2');
  set_times(dir, name, e->mtime);
}

static void note_below(const char *path, const char *target) {
  u.below = realloc(u.below, (u.below_count + 1) * sizeof *u.below);
  if (u.below == NULL) refuse("out of memory");
  u.below[u.below_count++] = (struct below){ .path = xstrdup(path), .target = xstrdup(target) };
}

static void make_hard_link(struct directory *parent, const struct tar_entry *e) {
  clean(e->link);
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
  struct directory *from = find(e->link, slash == NULL ? 0 : (size_t)(slash - e->link));
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
  struct directory *d = find(whole, strlen(whole));
  if (d != NULL) set_opaque(parent, d);
  free(whole);
}

static void enter(struct tar_entry *e) {
  clean(e->path);
  u.current = e->path;
  if (e->path[0] == '\0') {
    if (e->type != '5') refuse("the root must be a directory");
    u.current = ".";
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

/* --- the whole --- */

static void read_archive(void) {
  struct tar_entry e = { 0 };
  u.current = "-";
  for (unsigned zeros = 0; zeros < 2;) {
    size_t have = available(TAR_BLOCK);
    if (have == 0) break;
    if (have < TAR_BLOCK) refuse("the archive is cut off");
    uint8_t block[TAR_BLOCK];
    memcpy(block, u.buffer + u.at, TAR_BLOCK);
    u.at += TAR_BLOCK;
    if (tar_is_zero(block)) {
      zeros++;
      continue;
    }
    if (zeros > 0) refuse("not a tar header");
    if (++u.entries > MAX_ENTRIES) refuse("too many entries");
    char type = (char)block[156];
    const char *why;
    if (type == 'x' || type == 'g' || type == 'L' || type == 'K') {
      uint64_t size;
      if ((why = tar_header_size(block, &size)) != NULL) refuse(why);
      if (size > TAR_EXTENDED_MAX / 2) refuse("an extended header is too large");
      if (available((size_t)size) < size) refuse("the archive is cut off");
      const uint8_t *data = u.buffer + u.at;
      if (type == 'L' || type == 'K') why = tar_parse_long(type == 'L' ? &e.path : &e.link, data, (size_t)size);
      else why = tar_parse_pax(&e, data, (size_t)size, type == 'g');
      if (why != NULL) refuse(why);
      skip(size + padding(size));
      continue;
    }
    if ((why = tar_parse_header(&e, block)) != NULL) refuse(why);
    u.current = e.path;
    if (u.max_bytes > 0 && e.size > u.max_bytes - u.bytes) refuse("the layer is larger than allowed");
    u.bytes += e.size;
    uint64_t before = e.size;
    bool has_data = e.type == '0' && strncmp(base_of(e.path), ".wh.", 4) != 0 && strstr(e.path, "/.wh.") == NULL &&
                    strncmp(e.path, ".wh.", 4) != 0;
    enter(&e);
    skip((has_data ? 0 : before) + padding(before));
    u.current = "-";
    tar_entry_reset(&e);
  }
  if (e.path != NULL || e.link != NULL) refuse("the archive is cut off");
  tar_entry_reset(&e);
  do u.at = u.filled;
  while (available(1) > 0);
}

static bool inside_opaque(const struct directory *d) {
  if (d->opaque || u.all[0]->opaque) return true;
  for (const char *slash = strchr(d->path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
    const struct directory *above = find(d->path, (size_t)(slash - d->path));
    if (above != NULL && above->opaque) return true;
  }
  return false;
}

/* Inside an opaque directory there is nothing to hide, and overlayfs would list the whiteouts. */
static void drop_whiteouts(struct directory *d) {
  int fd = openat(directory_fd(d), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *dir = fd < 0 ? NULL : fdopendir(fd);
  if (dir == NULL) refuse_errno("opendir");
  for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
    struct stat st;
    if (entry->d_type != DT_CHR && entry->d_type != DT_UNKNOWN) continue;
    if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) refuse_errno("stat");
    if (is_whiteout(&st) && unlinkat(fd, entry->d_name, 0) < 0) refuse_errno("unlink");
  }
  closedir(dir);
}

static void say(const char *word, const char *path, const char *target) {
  u.current = path;
  for (const char *at = path; *at; at++) if ((unsigned char)*at < 0x20) refuse("a control character in a name");
  for (const char *at = target; *at; at++) if ((unsigned char)*at < 0x20) refuse("a control character in a name");
  printf("%s %s%s%s\n", word, path, *target ? "\t" : "", target);
}

static void finish(void) {
  for (size_t i = u.count; i-- > 0;) {
    struct directory *d = u.all[i];
    if (d->dead) continue;
    u.current = d->path[0] == '\0' ? "." : d->path;
    if (d->whiteouts > 0 && inside_opaque(d)) drop_whiteouts(d);
  }
  for (size_t i = u.count; i-- > 0;) {
    struct directory *d = u.all[i];
    if (d->dead) continue;
    u.current = d->path[0] == '\0' ? "." : d->path;
    if (i == 0 && !d->listed) d->late_mode = true;
    int parent = directory_fd(i == 0 ? d : parent_of(d->path));
    const char *name = i == 0 ? "." : base_of(d->path);
    if (d->late_mode && fchmodat(parent, name, d->mode, 0) < 0) refuse_errno("chmod");
    if (d->listed) set_times(parent, name, d->mtime);
  }
  for (size_t i = 1; i < u.count; i++) {
    if (!u.all[i]->dead && !u.all[i]->listed) say("implicit", u.all[i]->path, "");
  }
  for (size_t i = 0; i < u.below_count; i++) {
    int fd = open_beneath(u.below[i].path, O_PATH);
    if (fd >= 0) close(fd);
    else say("below", u.below[i].path, u.below[i].target);
  }
  printf("done %llu %llu\n", (unsigned long long)u.entries, (unsigned long long)u.bytes);
  u.current = "-";
  if (fflush(stdout) != 0) refuse_errno("write to standard output");
}

static void open_root(const char *path) {
  u.current = path;
  u.root = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (u.root < 0) refuse_errno("open");
  DIR *dir = fdopendir(dup(u.root));
  if (dir == NULL) refuse_errno("opendir");
  for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) refuse("the directory is not empty");
  }
  closedir(dir);
  struct stat st;
  if (fstat(u.root, &st) < 0) refuse_errno("stat");
  struct directory *root = add_directory("", 0);
  root->fd = u.root;
  root->setgid = (st.st_mode & S_ISGID) != 0;
}

int cmd_untar(int argc, char **argv) {
  const char *path = NULL;
  u.keep_owner = true;
  u.current = "-";
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--userxattr") == 0) u.userxattr = true;
    else if (strcmp(argv[i], "--no-owners") == 0) u.keep_owner = false;
    else if (strcmp(argv[i], "--max-bytes") == 0 && i + 1 < argc) u.max_bytes = strtoull(argv[++i], NULL, 10);
    else if (argv[i][0] != '-' && path == NULL) path = argv[i];
    else refuse("usage: untar [--userxattr] [--no-owners] [--max-bytes N] DIR");
  }
  if (path == NULL) refuse("usage: untar [--userxattr] [--no-owners] [--max-bytes N] DIR");
  umask(0);
  u.uid = geteuid();
  u.gid = getegid();
  u.buffer = xalloc(READ_BUFFER);
  /* Refused for ordinary files and when the user's pipe quota is used up: then it is only slower. */
  if (fcntl(0, F_SETPIPE_SZ, (int)READ_BUFFER) < 0) errno = 0;
  open_root(path);
  read_archive();
  finish();
  return 0;
}

/* Puts what a tar on standard input has below a path. A file is there whole or not at all, and takes the place of what had
   its name; directories stay as they are. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "copyfiles.h"
#include "copyplace.h"
#include "tarheader.h"

enum { INPUT = 1 << 20, TEMPORARY = 32 };

/* A directory of ours, whose mode and time come last: entries are still made in it. */
struct made {
  struct made *next;
  char *path;
  struct stat st;
  mode_t mode;
  struct timespec mtime;
};

static const struct copy_in *how;
static struct place where;
static struct made *made;
static struct {
  uint8_t *data;
  size_t at, filled;
  bool ended;
} in;
/* The file that is being written. */
static int temporary_dir = -1;
static char temporary[TEMPORARY];

_Noreturn void copy_in_stop(const char *path, const char *step) {
  copy_failed(path, step);
  if (temporary_dir >= 0) (void)unlinkat(temporary_dir, temporary, 0);
  exit(1);
}

static _Noreturn void refuse(const char *path, const char *why) {
  errno = EBADMSG;
  copy_in_stop(path, why);
}

static size_t available(size_t wanted) {
  while (in.filled - in.at < wanted && !in.ended) {
    memmove(in.data, in.data + in.at, in.filled - in.at);
    in.filled -= in.at;
    in.at = 0;
    ssize_t got = read(0, in.data + in.filled, INPUT - in.filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) copy_in_stop("-", "read");
    in.ended = got == 0;
    in.filled += (size_t)got;
  }
  return in.filled - in.at;
}

static void skip(uint64_t length, const char *path) {
  while (length > 0) {
    size_t have = available(1), part = have < length ? have : (size_t)length;
    if (!have) refuse(path, "the archive is cut off");
    in.at += part;
    length -= part;
  }
}

static void set_xattrs(int fd, const struct tar_entry *e) {
  for (size_t i = 0; i < e->xattr_count; i++) {
    const char *name = e->xattrs[i].name;
    /* Rights that a file carries are not given on this machine, nor what the kernel's overlay would read. */
    if (how->flags & COPY_HOST && strncmp(name, "user.", 5)) continue;
    if (strstr(name, ".overlay.") || !strcmp(name, OWNER_XATTR)) continue;
    if (fsetxattr(fd, name, e->xattrs[i].value, e->xattrs[i].length, 0) && errno != ENOTSUP && errno != EPERM && errno != EINVAL)
      copy_in_stop(e->path, "setxattr");
  }
}

/* Ids that are none here are written down, as those of unpacked layers are; an ordinary user keeps what he makes. */
static void give(int fd, int dir, const char *name, const struct tar_entry *e) {
  bool own = how->flags & COPY_OWNERS;
  uid_t uid = own ? e->uid : how->uid;
  gid_t gid = own ? e->gid : how->gid;
  if (uid == (uid_t)-1 && gid == (gid_t)-1) return;
  if (!(fd >= 0 ? fchown(fd, uid, gid) : fchownat(dir, name, uid, gid, AT_SYMLINK_NOFOLLOW))) return;
  if (errno == EPERM && how->flags & COPY_HOST) return;
  if (errno != EINVAL) copy_in_stop(e->path, "chown");
  char text[32];
  int n = snprintf(text, sizeof text, "%u:%u", uid, gid);
  if (fd >= 0 && fsetxattr(fd, OWNER_XATTR, text, (size_t)n, 0) && errno != ENOTSUP && errno != EPERM) copy_in_stop(e->path, "setxattr");
}

static mode_t mode_of(const struct tar_entry *e) {
  mode_t mode = how->mode == COPY_NO_MODE ? e->mode & 07777 : how->mode & 07777;
  if (e->type == '5' && how->mode != COPY_NO_MODE) mode |= (mode & 0444) >> 2;
  /* What is the caller's must not run with his rights for whoever finds it. */
  return how->flags & COPY_HOST && !(how->flags & COPY_OWNERS) ? mode & 01777 : mode;
}

static void make_directory(int dir, const char *name, const struct tar_entry *e) {
  struct stat st;
  if (mkdirat(dir, name, 0700)) {
    if (errno != EEXIST) copy_in_stop(e->path, "mkdir");
    /* A link to a directory is one for whoever lives here. */
    if (fstatat(dir, name, &st, how->flags & COPY_HOST ? AT_SYMLINK_NOFOLLOW : 0)) copy_in_stop(e->path, "stat");
    if (S_ISDIR(st.st_mode)) return;
    errno = ENOTDIR;
    copy_in_stop(e->path, "a directory cannot take the place of a file");
  }
  int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &st)) copy_in_stop(e->path, "open");
  give(fd, -1, name, e);
  set_xattrs(fd, e);
  close(fd);
  struct made *m = xalloc(sizeof *m);
  *m = (struct made){.next = made, .path = xstrdup(e->path), .st = st, .mode = mode_of(e), .mtime = e->mtime};
  made = m;
}

static void finish_directories(void) {
  for (struct made *m = made, *next; m; m = next) {
    next = m->next;
    struct stat st;
    int fd = place_open(&where, m->path);
    /* Whoever has moved it meanwhile keeps it as it is. */
    if (fd >= 0 && !fstat(fd, &st) && st.st_dev == m->st.st_dev && st.st_ino == m->st.st_ino) {
      struct timespec both[2] = {m->mtime, m->mtime};
      if (fchmod(fd, m->mode) || futimens(fd, both)) copy_in_stop(m->path, "chmod");
    }
    if (fd >= 0) close(fd);
    free(m->path);
    free(m);
  }
  made = NULL;
}

static int open_temporary(int dir, const struct tar_entry *e) {
  for (int i = 0; i < 100; i++) {
    uint32_t random;
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random) copy_in_stop(e->path, "getrandom");
    snprintf(temporary, sizeof temporary, ".mayfly-%08x", random);
    int fd = openat(dir, temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0) temporary_dir = dir;
    if (fd >= 0 || errno != EEXIST) return fd;
  }
  return -1;
}

/* What is mounted over cannot be replaced, as a file bound there: it gets the content. */
static void write_through(int from, int dir, const char *name, const struct tar_entry *e) {
  static uint8_t piece[64 << 10];
  int to = openat(dir, name, O_WRONLY | O_TRUNC | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (to < 0) copy_in_stop(e->path, "open");
  for (off_t at = 0;;) {
    ssize_t n = pread(from, piece, sizeof piece, at);
    if (n < 0 || (n > 0 && write_all(to, piece, (size_t)n))) copy_in_stop(e->path, "write");
    if (!n) break;
    at += n;
  }
  if (close(to)) copy_in_stop(e->path, "close");
  if (unlinkat(dir, temporary, 0)) copy_in_stop(e->path, "unlink");
}

static void make_file(int dir, const char *name, const struct tar_entry *e) {
  int fd = open_temporary(dir, e);
  /* Beside a file that is bound there may be no room for another. */
  if (fd < 0 && errno == EROFS) {
    fd = openat(dir, name, O_WRONLY | O_TRUNC | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) errno = EROFS;
  }
  bool direct = fd >= 0 && temporary_dir < 0;
  if (fd < 0) copy_in_stop(e->path, "create");
  for (uint64_t left = e->size; left > 0;) {
    size_t have = available(1), part = have < left ? have : (size_t)left;
    if (!have) refuse(e->path, "the archive is cut off");
    if (write_all(fd, in.data + in.at, part)) copy_in_stop(e->path, "write");
    in.at += part;
    left -= part;
  }
  struct timespec both[2] = {e->mtime, e->mtime};
  if (!direct) {
    give(fd, -1, name, e);
    set_xattrs(fd, e);
    if (fchmod(fd, mode_of(e)) || futimens(fd, both)) copy_in_stop(e->path, "chmod");
  }
  if (!direct && renameat(dir, temporary, dir, name)) {
    if (errno == EISDIR) copy_in_stop(e->path, "a file cannot take the place of a directory");
    if (errno != EBUSY) copy_in_stop(e->path, "rename");
    write_through(fd, dir, name, e);
  }
  temporary_dir = -1;
  if (close(fd)) copy_in_stop(e->path, "close");
}

static int make_node(int dir, const char *name, const struct tar_entry *e) {
  if (e->type == '2') return symlinkat(e->link, dir, name);
  if (e->type == '1') {
    const char *from;
    char *target = place_name(&where, e->link);
    int other = target ? place_parent(&where, target, false, &from) : -1;
    int result = other < 0 ? -1 : linkat(other, from, dir, name, 0);
    free(target);
    return result;
  }
  mode_t type = e->type == '3' ? S_IFCHR : e->type == '4' ? S_IFBLK : S_IFIFO;
  return mknodat(dir, name, type | (mode_of(e) & 0777), e->type == '6' ? 0 : makedev(e->major, e->minor));
}

static void enter(struct tar_entry *e) {
  const char *name, *archived = e->path;
  char *path = place_name(&where, archived);
  if (!path) refuse(archived, "a name with .. or too long a name");
  if (!*path) { /* the target itself, which is there */
    if (e->type != '5') refuse(archived, "no directory");
    free(path);
    return;
  }
  /* Nobody on this machine asked for a container's devices. */
  if (how->flags & COPY_HOST && (e->type == '3' || e->type == '4')) {
    free(path);
    return;
  }
  e->path = path;
  int dir = place_parent(&where, path, true, &name);
  if (dir < 0) copy_in_stop(path, "open");
  if (e->type == '5') make_directory(dir, name, e);
  else if (e->type == '0') make_file(dir, name, e);
  else if (e->type == '1' || e->type == '2' || e->type == '3' || e->type == '4' || e->type == '6') {
    if (e->type == '1') dir = dup(dir); /* the link's own place is looked up between */
    int result = dir < 0 ? -1 : make_node(dir, name, e);
    if (result && errno == EEXIST && !unlinkat(dir, name, 0)) result = make_node(dir, name, e);
    else if (result && errno == EISDIR) copy_in_stop(path, "a file cannot take the place of a directory");
    if (result) copy_in_stop(path, e->type == '2' ? "symlink" : e->type == '1' ? "link" : "mknod");
    if (e->type != '1') give(-1, dir, name, e);
    else close(dir);
  } else refuse(path, "an unknown kind of entry");
  e->path = (char *)(uintptr_t)archived;
  free(path);
}

/* Where everything goes is known when the first entry tells what it is. */
static void read_archive(void) {
  struct tar_entry e = {0};
  bool placed = false;
  unsigned zeros = 0;
  while (zeros < 2 && available(TAR_BLOCK) > 0) {
    if (available(TAR_BLOCK) < TAR_BLOCK) refuse("-", "the archive is cut off");
    uint8_t block[TAR_BLOCK];
    memcpy(block, in.data + in.at, TAR_BLOCK);
    in.at += TAR_BLOCK;
    if (tar_is_zero(block)) {
      zeros++;
      continue;
    }
    char type = (char)block[156];
    uint64_t size;
    const char *why = tar_header_size(block, &size);
    if (!why && (type == 'x' || type == 'g' || type == 'L' || type == 'K')) {
      if (size > TAR_EXTENDED_MAX / 2) refuse("-", "an extended header is too large");
      if (available((size_t)size) < size) refuse("-", "the archive is cut off");
      if (type == 'L' || type == 'K') why = tar_parse_long(type == 'L' ? &e.path : &e.link, in.data + in.at, (size_t)size);
      else why = tar_parse_pax(&e, in.data + in.at, (size_t)size, type == 'g');
      if (why) refuse("-", why);
      skip(size + (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK, "-");
      continue;
    }
    if (!why) why = tar_parse_header(&e, block);
    if (why) refuse("-", why);
    uint64_t length = e.size;
    if (!placed) {
      place_begin(&where, how->target, how->flags, e.path, e.type == '5');
      placed = true;
    }
    enter(&e);
    skip((e.type == '0' ? 0 : length) + (TAR_BLOCK - length % TAR_BLOCK) % TAR_BLOCK, "-");
    tar_entry_reset(&e);
  }
  /* Whoever writes one to its end says so. */
  if (e.path || e.link || !zeros) refuse("-", "the archive is cut off");
  if (!placed) place_begin(&where, how->target, how->flags & ~(uint32_t)COPY_RESOURCE, "", true);
}

void copy_in(int root, const struct copy_in *wish) {
  how = wish;
  if (!in.data) in.data = xalloc(INPUT);
  in.at = in.filled = 0;
  in.ended = false;
  made = NULL;
  temporary_dir = -1;
  where = (struct place){.root = root, .base = -1, .parent = -1, .uid = how->uid, .gid = how->gid};
  read_archive();
  finish_directories();
  do in.at = in.filled;
  while (available(1) > 0);
  exit(0);
}

/* Writes what lies at a path as a tar. What changes meanwhile is written as it is found, or left out when it has gone. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "copyfiles.h"
#include "tarheader.h"

enum { BUCKETS = 4096, FLUSH_AT = 256 << 10, PIECE = 128 << 10 };

/* A file with several names, by the first that was written. */
struct linked {
  struct linked *next;
  dev_t dev;
  ino_t ino;
  char path[];
};

static struct linked *links[BUCKETS];
static struct buffer out;

static _Noreturn void stop(const char *path, const char *step) {
  copy_failed(path, step);
  exit(1);
}

static void flush(const char *path, size_t over) {
  if (out.length <= over) return;
  if (write_all(1, out.data, out.length)) stop(path, "write");
  out.length = 0;
}

/* Those that mean something elsewhere: the user's, and a program's capabilities. */
static bool wanted_xattr(const char *name) {
  return !strcmp(name, "security.capability") ||
         (!strncmp(name, "user.", 5) && strncmp(name, "user.overlay.", 13) && strcmp(name, OWNER_XATTR));
}

static void xattrs(struct buffer *extra, int fd) {
  static char list[65536], value[65536];
  ssize_t length = flistxattr(fd, list, sizeof list);
  for (char *at = list; length > 0 && at < list + length; at += strlen(at) + 1) {
    if (!wanted_xattr(at)) continue;
    ssize_t got = fgetxattr(fd, at, value, sizeof value);
    if (got < 0) continue;
    char key[300];
    snprintf(key, sizeof key, "SCHILY.xattr.%.255s", at);
    tar_write_pax(extra, key, value, (size_t)got);
  }
}

static const char *first_name(const struct stat *st, const char *path) {
  struct linked **bucket = &links[(st->st_ino ^ st->st_dev) % BUCKETS];
  for (struct linked *l = *bucket; l; l = l->next)
    if (l->ino == st->st_ino && l->dev == st->st_dev) return l->path;
  struct linked *l = xalloc(sizeof *l + strlen(path) + 1);
  l->next = *bucket;
  l->dev = st->st_dev;
  l->ino = st->st_ino;
  strcpy(l->path, path);
  *bucket = l;
  return NULL;
}

/* As many bytes as the header said: a file that has become shorter is filled up, one that grows is cut. */
static void contents(int fd, const char *path, uint64_t size) {
  static const uint8_t zero[PIECE];
  bool over = false;
  for (uint64_t left = size; left > 0;) {
    flush(path, FLUSH_AT);
    size_t want = left < PIECE ? (size_t)left : PIECE;
    buffer_reserve(&out, want);
    ssize_t got = over ? 0 : read(fd, out.data + out.length, want);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) stop(path, "read");
    over = got == 0;
    if (over) memcpy(out.data + out.length, zero, want);
    out.length += over ? want : (size_t)got;
    left -= over ? want : (size_t)got;
  }
  buffer_append(&out, zero, (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK);
}

/* Takes over `fd`. */
static void regular(int fd, const char *path) {
  struct stat st;
  if (fstat(fd, &st)) stop(path, "stat");
  /* Swapped for something else since it was looked at. */
  const char *first = !S_ISREG(st.st_mode) ? NULL : st.st_nlink > 1 ? first_name(&st, path) : NULL;
  struct buffer extra = {0};
  if (first) {
    tar_write_header(&out, path, first, '1', &st, 0, &extra);
  } else if (S_ISREG(st.st_mode)) {
    xattrs(&extra, fd);
    tar_write_header(&out, path, "", '0', &st, (uint64_t)st.st_size, &extra);
    contents(fd, path, (uint64_t)st.st_size);
  }
  buffer_free(&extra);
  close(fd);
}

static void entry(int dir, const char *prefix, const char *name);

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* Takes over `fd`; `path` ends in a slash. */
static void directory(int fd, const char *path) {
  struct stat st;
  if (fstat(fd, &st)) stop(path, "stat");
  struct buffer extra = {0};
  xattrs(&extra, fd);
  tar_write_header(&out, path, "", '5', &st, 0, &extra);
  buffer_free(&extra);
  flush(path, FLUSH_AT);
  DIR *stream = fdopendir(fd);
  if (!stream) stop(path, "opendir");
  char **names = NULL;
  size_t count = 0;
  for (struct dirent *one; (one = readdir(stream));) {
    if (!strcmp(one->d_name, ".") || !strcmp(one->d_name, "..")) continue;
    if (!(count & (count + 1))) names = realloc(names, (count * 2 + 2) * sizeof *names);
    if (!names) stop(path, "memory");
    names[count++] = xstrdup(one->d_name);
  }
  if (count) qsort(names, count, sizeof *names, by_name);
  for (size_t i = 0; i < count; i++) {
    entry(fd, path, names[i]);
    free(names[i]);
  }
  free(names);
  closedir(stream);
}

static bool has_gone(void) { return errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == ENXIO; }

static void link_or_node(int dir, const char *name, const char *path, const struct stat *st) {
  struct buffer extra = {0};
  char target[4097];
  ssize_t got = S_ISLNK(st->st_mode) ? readlinkat(dir, name, target, sizeof target - 1) : 0;
  if (got >= 0) {
    target[got] = '\0';
    char type = S_ISLNK(st->st_mode) ? '2' : S_ISCHR(st->st_mode) ? '3' : S_ISBLK(st->st_mode) ? '4' : '6';
    tar_write_header(&out, path, target, type, st, 0, &extra);
  }
  buffer_free(&extra);
}

/* A device or pipe is never opened: what is no file when it has been opened is closed again unread. */
static void entry(int dir, const char *prefix, const char *name) {
  struct stat st;
  if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW)) {
    if (has_gone()) return;
    stop(name, "stat");
  }
  size_t length = strlen(prefix) + strlen(name) + 2;
  char *path = xalloc(length);
  snprintf(path, length, "%s%s%s", prefix, name, S_ISDIR(st.st_mode) ? "/" : "");
  if (S_ISDIR(st.st_mode) || S_ISREG(st.st_mode)) {
    int kind = S_ISDIR(st.st_mode) ? O_DIRECTORY : O_NONBLOCK | O_NOCTTY;
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | kind);
    if (fd < 0 && !has_gone()) stop(path, "open");
    if (fd >= 0 && S_ISDIR(st.st_mode)) directory(fd, path);
    else if (fd >= 0) regular(fd, path);
  } else if (!S_ISSOCK(st.st_mode)) {
    link_or_node(dir, name, path, &st);
  }
  flush(path, FLUSH_AT);
  free(path);
}

/* Where the path's links have led to. Takes over `name`. */
static void followed(int root, const char *path, const char *name) {
  struct stat st;
  int at = copy_open(root, path, O_PATH);
  if (at < 0 || fstat(at, &st)) stop(path, "open");
  if (S_ISDIR(st.st_mode)) {
    int fd = openat(at, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) stop(path, "open");
    directory(fd, name);
  } else if (S_ISREG(st.st_mode)) {
    int fd = copy_open(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) stop(path, "open");
    regular(fd, name);
  } else {
    errno = EINVAL;
    stop(path, "neither file nor directory");
  }
  close(at);
}

/* The path without what its end says: `/.` for what is in a directory, `/` for a directory. */
static char *trimmed(const char *source, bool *contents, bool *slash) {
  char *path = xstrdup(source);
  size_t n = strlen(path);
  *contents = n < 2 || (n >= 2 && !strcmp(path + n - 2, "/."));
  if (*contents && n >= 2) n -= 1;
  *slash = n > 1 && path[n - 1] == '/';
  while (n > 0 && path[n - 1] == '/') n--;
  path[n] = '\0';
  return path;
}

void copy_out(int root, const char *source, uint32_t flags) {
  bool everything, slash;
  char *path = trimmed(source, &everything, &slash), *last = strrchr(path, '/');
  const char *name = last ? last + 1 : path;
  everything = everything || !*path;
  if (everything || slash || flags & COPY_FOLLOW) {
    struct stat st;
    int at = copy_open(root, *path ? path : "/", O_PATH);
    if (at < 0 || fstat(at, &st)) stop(source, "open");
    if ((everything || slash) && !S_ISDIR(st.st_mode)) errno = ENOTDIR, stop(source, "open");
    close(at);
    char *as = xalloc(strlen(name) + 3);
    sprintf(as, "%s%s", everything ? "." : name, S_ISDIR(st.st_mode) ? "/" : "");
    followed(root, *path ? path : "/", as);
    free(as);
  } else {
    struct stat st;
    if (last) *last = '\0';
    int dir = copy_open(root, *path && last ? path : "/", O_PATH | O_DIRECTORY);
    if (dir < 0 || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW)) stop(source, "open");
    if (S_ISSOCK(st.st_mode)) errno = EINVAL, stop(source, "a socket");
    entry(dir, "", name);
    close(dir);
  }
  static const uint8_t end[2 * TAR_BLOCK];
  buffer_append(&out, end, sizeof end);
  flush(source, 0);
  free(path);
  exit(0);
}

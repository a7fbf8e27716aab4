/* Writes a directory as a tar; of a layer, whiteouts and opaque directories as the image format has them. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base.h"
#include "commands.h"
#include "lookup.h"
#include "tarheader.h"
#include "tarout.h"

struct seen {
  dev_t dev;
  ino_t ino;
  char *path;
};

/* A directory whose entry is written once something in it is. */
struct pending {
  struct pending *above;
  const char *path;
  struct stat st;
  struct buffer extra;
  bool written;
};

static bool layer, recorded, whole;
static const char **skipped;
static size_t skipped_count;
static int *lowers, lower_count;
static int64_t latest = INT64_MAX;
static uint64_t file_bytes;
static struct pending *innermost;
static struct buffer out;
static struct seen *links;
static size_t link_count;
static const char *current = "-";

static _Noreturn void stop(const char *step) {
  fprintf(stderr, "tar %s: %s: %s\n", current, step, errno_name(errno));
  exit(1);
}

static void flush(size_t over) {
  if (out.length <= over) return;
  if (tarout_add(out.data, out.length)) stop("write");
  out.length = 0;
}

/* No time is later than `latest`. */
static void block(const char *path, const char *link, char type, const struct stat *st, uint64_t size, struct buffer *extra) {
  struct stat clamped = *st;
  if (clamped.st_mtim.tv_sec > latest) clamped.st_mtim.tv_sec = latest;
  tar_write_header(&out, path, link, type, &clamped, size, extra);
}

/* Those of directories that now have something in them come first. */
static void write_above(struct pending *directory) {
  if (directory == NULL || directory->written) return;
  write_above(directory->above);
  directory->written = true;
  block(directory->path, "", '5', &directory->st, 0, &directory->extra);
}

static void write_entry(const char *path, const char *link, char type, const struct stat *st, uint64_t size,
                        struct buffer *extra) {
  write_above(innermost);
  block(path, link, type, st, size, extra);
}

static bool below(const char *path, struct stat *st) {
  struct place place;
  if (lower_count == 0 || !lookup(lowers, lower_count, path, &place)) return false;
  close(place.parent);
  *st = place.st;
  return true;
}

static bool is_skipped(const char *path) {
  for (size_t i = 0; i < skipped_count; i++)
    if (!strcmp(path, skipped[i])) return true;
  return false;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void xattrs(struct buffer *extra, int dir, const char *name) {
  static char list[65536], value[65536];
  if (fchdir(dir) < 0) stop("fchdir");
  ssize_t length = llistxattr(name, list, sizeof list);
  if (length < 0 && errno == ENOTSUP) return;
  if (length < 0) stop("listxattr");
  char *names[1024];
  size_t count = 0;
  for (char *at = list; at < list + length && count < 1024; at += strlen(at) + 1) names[count++] = at;
  qsort(names, count, sizeof *names, by_name);
  for (size_t i = 0; i < count; i++) {
    if (strstr(names[i], ".overlay.") != NULL || strcmp(names[i], OWNER_XATTR) == 0 || strncmp(names[i], "security.selinux", 16) == 0) continue;
    ssize_t got = lgetxattr(name, names[i], value, sizeof value);
    if (got < 0) stop("getxattr");
    char key[300];
    snprintf(key, sizeof key, "SCHILY.xattr.%s", names[i]);
    tar_write_pax(extra, key, value, (size_t)got);
  }
}

/* Where every file has one owner, whose it would be, if unpacking wrote that down. */
static void recorded_owner(int dir, const char *name, struct stat *st) {
  if (!recorded || (!S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode))) return;
  char text[32] = "";
  if (fchdir(dir) < 0) stop("fchdir");
  if (lgetxattr(name, OWNER_XATTR, text, sizeof text - 1) <= 0) return;
  unsigned uid, gid;
  if (sscanf(text, "%u:%u", &uid, &gid) != 2) return;
  st->st_uid = uid;
  st->st_gid = gid;
}

/* Copied up and then left as it was. A directory's time does not count: whatever came and went in it changed that. */
static bool is_unchanged(int dir, const char *name, const char *path, const struct stat *st) {
  struct place place;
  if (lower_count == 0 || !lookup(lowers, lower_count, path, &place)) return false;
  struct stat *old = &place.st;
  recorded_owner(place.parent, place.name, old);
  bool same = old->st_mode == st->st_mode && old->st_uid == st->st_uid && old->st_gid == st->st_gid;
  if (!S_ISDIR(st->st_mode))
    same = same && old->st_size == st->st_size && old->st_rdev == st->st_rdev && old->st_mtim.tv_sec == st->st_mtim.tv_sec &&
           old->st_mtim.tv_nsec == st->st_mtim.tv_nsec;
  struct buffer ours = {0}, theirs = {0};
  if (same) {
    xattrs(&ours, dir, name);
    xattrs(&theirs, place.parent, place.name);
    same = ours.length == theirs.length && (ours.length == 0 || !memcmp(ours.data, theirs.data, ours.length));
  }
  buffer_free(&ours);
  buffer_free(&theirs);
  close(place.parent);
  return same;
}

static void contents(int dir, const char *name, uint64_t size) {
  int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) stop("open");
  for (uint64_t left = size; left > 0;) {
    flush(1u << 18);
    buffer_reserve(&out, 1u << 18);
    ssize_t got = read(fd, out.data + out.length, left < 1u << 18 ? (size_t)left : 1u << 18);
    if (got < 0 && errno == EINTR) continue;
    if (got == 0) errno = EIO;
    if (got <= 0) stop("read (the file changed)");
    out.length += (size_t)got;
    left -= (uint64_t)got;
  }
  close(fd);
  static const uint8_t zero[TAR_BLOCK];
  buffer_append(&out, zero, (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK);
}

static const char *first_name(const struct stat *st, const char *path) {
  for (size_t i = 0; i < link_count; i++) {
    if (links[i].ino == st->st_ino && links[i].dev == st->st_dev) return links[i].path;
  }
  if ((link_count & (link_count + 1)) == 0) {
    links = realloc(links, (link_count * 2 + 2) * sizeof *links);
    if (links == NULL) stop("memory");
  }
  links[link_count++] = (struct seen){ .dev = st->st_dev, .ino = st->st_ino, .path = xstrdup(path) };
  return NULL;
}

static void walk(int dir, const char *path);

static char *joined(const char *a, const char *b, const char *c) {
  char *text = xalloc(strlen(a) + strlen(b) + strlen(c) + 1);
  sprintf(text, "%s%s%s", a, b, c);
  return text;
}

static bool is_opaque(int fd) {
  char value[2];
  return (fgetxattr(fd, "trusted.overlay.opaque", value, 2) > 0 || fgetxattr(fd, "user.overlay.opaque", value, 2) > 0) &&
         value[0] == 'y';
}

/* Takes over `extra`. */
static void directory(int dir, const char *name, const char *path, const struct stat *st, struct buffer *extra) {
  char *slashed = joined(path, "/", "");
  struct pending own = {.above = innermost, .path = slashed, .st = *st, .extra = *extra};
  int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) stop("open");
  struct stat old;
  innermost = &own;
  if (lower_count == 0 || !is_unchanged(dir, name, path, st)) write_above(&own);
  /* What hides nothing is no mark: the layers below may have no such directory. */
  if (layer && is_opaque(fd) && (lower_count == 0 || (below(path, &old) && S_ISDIR(old.st_mode)))) {
    char *marker = joined(slashed, ".wh..wh..opq", "");
    fprintf(stderr, "opaque %s\n", path);
    struct stat plain = {0};
    struct buffer none = {0};
    write_entry(marker, "", '0', &plain, 0, &none);
    buffer_free(&none);
    free(marker);
  }
  walk(fd, slashed);
  innermost = own.above;
  *extra = own.extra;
  free(slashed);
}

static void entry(int dir, const char *prefix, const char *name) {
  struct stat st, old;
  char *path = joined(prefix, name, "");
  current = path;
  if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0) stop("stat");
  recorded_owner(dir, name, &st);
  struct buffer extra = {0};
  if (is_skipped(path)) {
    free(path);
    return;
  }
  if (layer && S_ISCHR(st.st_mode) && st.st_rdev == 0) {
    char *whiteout = joined(prefix, ".wh.", name);
    struct stat plain = {0};
    if (lower_count == 0 || below(path, &old)) write_entry(whiteout, "", '0', &plain, 0, &extra);
    free(whiteout);
  } else if (!S_ISSOCK(st.st_mode) && (S_ISDIR(st.st_mode) || whole || !is_unchanged(dir, name, path, &st))) {
    const char *first = !S_ISDIR(st.st_mode) && st.st_nlink > 1 ? first_name(&st, path) : NULL;
    if (first == NULL) xattrs(&extra, dir, name);
    if (first != NULL) {
      write_entry(path, first, '1', &st, 0, &extra);
    } else if (S_ISDIR(st.st_mode)) {
      directory(dir, name, path, &st, &extra);
    } else if (S_ISLNK(st.st_mode)) {
      char target[4097];
      ssize_t got = readlinkat(dir, name, target, sizeof target - 1);
      if (got < 0) stop("readlink");
      target[got] = '\0';
      write_entry(path, target, '2', &st, 0, &extra);
    } else if (S_ISREG(st.st_mode)) {
      write_entry(path, "", '0', &st, (uint64_t)st.st_size, &extra);
      contents(dir, name, (uint64_t)st.st_size);
      file_bytes += (uint64_t)st.st_size;
    } else {
      write_entry(path, "", S_ISCHR(st.st_mode) ? '3' : S_ISBLK(st.st_mode) ? '4' : '6', &st, 0, &extra);
    }
  }
  buffer_free(&extra);
  flush(1u << 18);
  free(path);
}

/* Takes over `dir`. */
static void walk(int dir, const char *path) {
  DIR *stream = fdopendir(dir);
  if (stream == NULL) stop("opendir");
  char **names = NULL;
  size_t count = 0;
  for (struct dirent *one; (one = readdir(stream)) != NULL;) {
    if (strcmp(one->d_name, ".") == 0 || strcmp(one->d_name, "..") == 0) continue;
    if ((count & (count + 1)) == 0) names = realloc(names, (count * 2 + 2) * sizeof *names);
    if (names == NULL) stop("memory");
    names[count++] = xstrdup(one->d_name);
  }
  if (count > 0) qsort(names, count, sizeof *names, by_name);
  for (size_t i = 0; i < count; i++) {
    entry(dir, path, names[i]);
    free(names[i]);
  }
  free(names);
  closedir(stream);
}

int cmd_tar(int argc, char **argv) {
  const char *root = NULL;
  lowers = xalloc((size_t)argc * sizeof *lowers);
  skipped = xalloc((size_t)argc * sizeof *skipped);
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--layer") == 0) layer = true;
    else if (strcmp(argv[i], "--recorded-owners") == 0) recorded = true;
    else if (strcmp(argv[i], "--whole") == 0) whole = true;
    else if (strcmp(argv[i], "--digest") == 0) tarout_digest();
    else if (strcmp(argv[i], "--gzip") == 0 && i + 1 < argc) {
      current = argv[++i];
      if (tarout_gzip(current)) stop("open");
    } else if (strcmp(argv[i], "--skip") == 0 && i + 1 < argc) skipped[skipped_count++] = argv[++i];
    else if (strcmp(argv[i], "--latest") == 0 && i + 1 < argc) latest = strtoll(argv[++i], NULL, 10);
    else if (root == NULL) root = argv[i];
    else {
      current = argv[i];
      lowers[lower_count] = open(argv[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
      if (lowers[lower_count++] < 0) stop("open");
    }
  }
  if (root == NULL) {
    fprintf(stderr, "usage: tar [--layer] [--whole] [--digest | --gzip FILE] [--recorded-owners] [--skip PATH]... [--latest SECONDS] DIR [LOWER...]\n");
    return 2;
  }
  current = root;
  int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) stop("open");
  walk(fd, "");
  static const uint8_t end[2 * TAR_BLOCK];
  buffer_append(&out, end, sizeof end);
  flush(0);
  if (tarout_end(file_bytes)) stop("write");
  return 0;
}

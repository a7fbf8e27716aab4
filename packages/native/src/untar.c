/* Reads a tar on standard input into an empty layer directory: a plain one, or (unpack) a layer as a registry serves it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base.h"
#include "commands.h"
#include "layer.h"
#include "sha256.h"
#include "source.h"

struct layer layer;
static uint64_t max_entries = 1000000;

/* Of `unpack`: where the tar comes from, and the hash of what came. */
static struct ring source;
static struct sha256 plain;

/* Whatever was wrong with the archive: bytes that are not those asked for are worse. */
static bool end_source(void) {
  close(source.full);
  close(source.freed);
  char hex[65];
  bool good = source_end(hex);
  if (hex[0] != '\0') printf("digest %s\n", hex);
  layer.unpacks = false;
  return good;
}

_Noreturn void refuse(const char *reason) {
  char name[512];
  size_t i = 0;
  for (const char *at = layer.current; *at && i < sizeof name - 1; at++) {
    name[i++] = (unsigned char)*at < 0x20 || *at == 0x7f ? '?' : *at;
  }
  name[i] = '\0';
  fprintf(stderr, "untar %s: %s\n", name, reason);
  if (layer.unpacks) {
    (void)end_source();
    (void)fflush(stdout);
  }
  exit(1);
}

_Noreturn void refuse_errno(const char *step) {
  char reason[128];
  snprintf(reason, sizeof reason, "%s: %s", step, errno_name(errno));
  refuse(reason);
}

static void fill_from_source(void) {
  ring_read(&source, layer.at);
  layer.filled -= layer.at;
  layer.at = 0;
  layer.buffer = source.base + source.place;
  size_t got = ring_more(&source);
  sha256_add(&plain, layer.buffer + layer.filled, got);
  layer.filled += got;
  layer.ended = got == 0;
}

static void fill(void) {
  if (layer.unpacks) {
    fill_from_source();
    return;
  }
  if (layer.at > 0) {
    memmove(layer.buffer, layer.buffer + layer.at, layer.filled - layer.at);
    layer.filled -= layer.at;
    layer.at = 0;
  }
  ssize_t got;
  do got = read(0, layer.buffer + layer.filled, READ_BUFFER - layer.filled);
  while (got < 0 && errno == EINTR);
  if (got < 0) refuse_errno("read");
  if (got == 0) layer.ended = true;
  layer.filled += (size_t)got;
}

size_t input_available(size_t wanted) {
  while (layer.filled - layer.at < wanted && !layer.ended) fill();
  return layer.filled - layer.at;
}

static void skip(uint64_t length) {
  while (length > 0) {
    size_t have = input_available(1);
    if (have == 0) refuse("the archive is cut off");
    size_t part = have < length ? have : (size_t)length;
    layer.at += part;
    length -= part;
  }
}

static uint64_t padding(uint64_t size) { return (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK; }

static void read_archive(void) {
  struct tar_entry e = { 0 };
  layer.current = "-";
  for (unsigned zeros = 0; zeros < 2;) {
    size_t have = input_available(TAR_BLOCK);
    if (have == 0) break;
    if (have < TAR_BLOCK) refuse("the archive is cut off");
    uint8_t block[TAR_BLOCK];
    memcpy(block, layer.buffer + layer.at, TAR_BLOCK);
    layer.at += TAR_BLOCK;
    if (tar_is_zero(block)) {
      zeros++;
      continue;
    }
    if (zeros > 0) refuse("not a tar header");
    if (++layer.entries > max_entries) refuse("too many entries");
    char type = (char)block[156];
    const char *why;
    if (type == 'x' || type == 'g' || type == 'L' || type == 'K') {
      uint64_t size;
      if ((why = tar_header_size(block, &size)) != NULL) refuse(why);
      if (size > TAR_EXTENDED_MAX / 2) refuse("an extended header is too large");
      if (input_available((size_t)size) < size) refuse("the archive is cut off");
      const uint8_t *data = layer.buffer + layer.at;
      if (type == 'L' || type == 'K') why = tar_parse_long(type == 'L' ? &e.path : &e.link, data, (size_t)size);
      else why = tar_parse_pax(&e, data, (size_t)size, type == 'g');
      if (why != NULL) refuse(why);
      skip(size + padding(size));
      continue;
    }
    if ((why = tar_parse_header(&e, block)) != NULL) refuse(why);
    layer.current = e.path;
    if (layer.max_bytes > 0 && e.size > layer.max_bytes - layer.bytes) refuse("the layer is larger than allowed");
    layer.bytes += e.size;
    uint64_t before = e.size;
    bool has_data = e.type == '0' && strncmp(base_of(e.path), ".wh.", 4) != 0 && strstr(e.path, "/.wh.") == NULL &&
                    strncmp(e.path, ".wh.", 4) != 0;
    layer_enter(&e);
    skip((has_data ? 0 : before) + padding(before));
    layer.current = "-";
    tar_entry_reset(&e);
  }
  if (e.path != NULL || e.link != NULL) refuse("the archive is cut off");
  tar_entry_reset(&e);
  do layer.at = layer.filled;
  while (input_available(1) > 0);
}

static void open_root(const char *path) {
  layer.current = path;
  layer.root = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (layer.root < 0) refuse_errno("open");
  DIR *dir = fdopendir(dup(layer.root));
  if (dir == NULL) refuse_errno("opendir");
  for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) refuse("the directory is not empty");
  }
  closedir(dir);
  struct stat st;
  if (fstat(layer.root, &st) < 0) refuse_errno("stat");
  struct directory *root = add_directory("", 0);
  root->fd = layer.root;
  root->setgid = (st.st_mode & S_ISGID) != 0;
}

static void read_source(void) {
  read_archive();
  char hex[65];
  sha256_end(&plain, hex);
  if (!end_source()) exit(1);
  printf("plain %s\n", hex);
}

/* What lies below settles the layer, and its tar, as `tar` would write it, is only hashed. */
static int measure(char *path, char **below, int count, bool recorded, char *latest) {
  char **words = xalloc((size_t)(count + 9) * sizeof *words);
  int *lowers = xalloc((size_t)(count + 1) * sizeof *lowers), n = 0;
  for (int i = 0; i < count; i++) {
    layer.current = below[i];
    if ((lowers[i] = open(below[i], O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0) refuse_errno("open");
  }
  layer_settle(lowers, count);
  for (int i = 0; i < count; i++) close(lowers[i]);
  char *const always[] = {"tar", "--layer", "--whole", "--digest"};
  for (; n < 4; n++) words[n] = always[n];
  if (recorded) words[n++] = "--recorded-owners";
  if (latest != NULL) {
    words[n++] = "--latest";
    words[n++] = latest;
  }
  words[n++] = path;
  for (int i = 0; i < count; i++) words[n++] = below[i];
  return cmd_tar(n, words);
}

int cmd_untar(int argc, char **argv) {
  char *path = NULL, *latest = NULL;
  int below = 0;
  bool measured = false, recorded = false;
  struct source_options from = { 0 };
  layer.unpacks = strcmp(argv[0], "unpack") == 0;
  layer.keep_owner = true;
  layer.current = "-";
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--userxattr") == 0) layer.userxattr = true;
    else if (strcmp(argv[i], "--no-owners") == 0) layer.keep_owner = false;
    else if (strcmp(argv[i], "--max-bytes") == 0 && i + 1 < argc) layer.max_bytes = strtoull(argv[++i], NULL, 10);
    else if (strcmp(argv[i], "--max-entries") == 0 && i + 1 < argc) max_entries = strtoull(argv[++i], NULL, 10);
    else if (layer.unpacks && strcmp(argv[i], "--max-plain") == 0 && i + 1 < argc) from.max_plain = strtoull(argv[++i], NULL, 10);
    else if (layer.unpacks && strcmp(argv[i], "--keep") == 0 && i + 1 < argc) from.keep = argv[++i];
    else if (!layer.unpacks && strcmp(argv[i], "--measure") == 0) measured = true;
    else if (!layer.unpacks && strcmp(argv[i], "--recorded-owners") == 0) recorded = true;
    else if (!layer.unpacks && strcmp(argv[i], "--latest") == 0 && i + 1 < argc) latest = argv[++i];
    else if (argv[i][0] != '-' && path == NULL) path = argv[i];
    else if (argv[i][0] != '-' && measured) below = below == 0 ? i : below;
    else path = NULL, i = argc;
  }
  if (path == NULL) {
    fprintf(stderr, "usage: untar [--userxattr] [--no-owners] [--max-bytes N] [--max-entries N] DIR\n"
                    "       untar --measure [--recorded-owners] [--latest SECONDS] [as above] DIR [LOWER...]\n"
                    "       unpack [--keep FILE] [--max-plain N] [as above] DIR\n");
    return 1;
  }
  umask(0);
  layer.uid = geteuid();
  layer.gid = getegid();
  if (layer.unpacks) {
    sha256_start(&plain);
    layer.unpacks = false;
    if (source_start(&from, &source) < 0) refuse_errno("start");
    layer.unpacks = true;
  } else {
    layer.buffer = xalloc(READ_BUFFER);
    /* Refused for ordinary files and when the user's pipe quota is used up: then it is only slower. */
    if (fcntl(0, F_SETPIPE_SZ, (int)READ_BUFFER) < 0) errno = 0;
  }
  open_root(path);
  if (layer.unpacks) read_source();
  else read_archive();
  layer_finish();
  if (!measured) return 0;
  return measure(path, argv + below, below == 0 ? 0 : argc - below, recorded, latest);
}

#include "tarout.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base.h"
#include "deflate.h"
#include "sha256.h"

struct count {
  struct sha256 hash;
  uint64_t bytes;
};

static bool counts, failed;
static int file = -1;
static struct deflate *zip;
static struct count plain, packed;

static void count(struct count *c, const uint8_t *data, size_t length) {
  sha256_add(&c->hash, data, length);
  c->bytes += length;
}

void tarout_digest(void) {
  counts = true;
  sha256_start(&plain.hash);
}

static void take(void *context, const uint8_t *data, size_t length) {
  (void)context;
  count(&packed, data, length);
  failed = failed || write_all(file, data, length) < 0;
}

int tarout_gzip(const char *path) {
  file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (file < 0) return -1;
  tarout_digest();
  sha256_start(&packed.hash);
  zip = deflate_start(NULL, take);
  return 0;
}

int tarout_add(const uint8_t *data, size_t length) {
  if (!counts) return write_all(1, data, length);
  count(&plain, data, length);
  if (zip != NULL) deflate_add(zip, data, length);
  return failed ? -1 : 0;
}

static void print(const char *word, struct count *c) {
  char hex[65];
  sha256_end(&c->hash, hex);
  printf("%s %s %" PRIu64 "\n", word, hex, c->bytes);
}

int tarout_end(uint64_t file_bytes) {
  if (!counts) return 0;
  if (zip != NULL) {
    deflate_end(zip);
    if (failed || close(file) < 0) return -1;
    print("gzip", &packed);
  }
  print("plain", &plain);
  printf("files %" PRIu64 "\n", file_bytes);
  return fflush(stdout) == 0 ? 0 : -1;
}

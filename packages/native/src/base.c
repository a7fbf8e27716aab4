#include "base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int fail_with(struct failure *f, int errnum, const char *operation, const char *path, const char *step) {
  f->errnum = (uint32_t)errnum;
  f->index = NO_INDEX;
  snprintf(f->operation, sizeof f->operation, "%s", operation);
  snprintf(f->path, sizeof f->path, "%s", path ? path : "");
  snprintf(f->step, sizeof f->step, "%s", step ? step : "");
  errno = errnum;
  return -1;
}

int fail(struct failure *f, const char *operation, const char *path, const char *step) {
  return fail_with(f, errno, operation, path, step);
}

void *xalloc(size_t size) {
  void *p = calloc(1, size ? size : 1);
  if (!p) _exit(70);
  return p;
}

char *xstrdup(const char *text) {
  size_t n = strlen(text) + 1;
  char *p = xalloc(n);
  memcpy(p, text, n);
  return p;
}

void buffer_reserve(struct buffer *b, size_t more) {
  if (b->capacity - b->length >= more) return;
  size_t want = b->capacity ? b->capacity : 256;
  while (want - b->length < more) want *= 2;
  uint8_t *p = realloc(b->data, want);
  if (!p) _exit(70);
  b->data = p;
  b->capacity = want;
}

void buffer_append(struct buffer *b, const void *data, size_t length) {
  if (!length) return;
  buffer_reserve(b, length);
  memcpy(b->data + b->length, data, length);
  b->length += length;
}

void buffer_consume(struct buffer *b, size_t length) {
  if (length >= b->length) {
    b->length = 0;
    return;
  }
  memmove(b->data, b->data + length, b->length - length);
  b->length -= length;
}

void buffer_free(struct buffer *b) {
  free(b->data);
  *b = (struct buffer){0};
}

void put_u8(struct buffer *b, uint8_t v) { buffer_append(b, &v, 1); }

void put_u16(struct buffer *b, uint16_t v) {
  uint8_t d[2] = {(uint8_t)v, (uint8_t)(v >> 8)};
  buffer_append(b, d, sizeof d);
}

void put_u32(struct buffer *b, uint32_t v) {
  uint8_t d[4];
  for (unsigned i = 0; i < 4; i++) d[i] = (uint8_t)(v >> (8 * i));
  buffer_append(b, d, sizeof d);
}

void put_u64(struct buffer *b, uint64_t v) {
  uint8_t d[8];
  for (unsigned i = 0; i < 8; i++) d[i] = (uint8_t)(v >> (8 * i));
  buffer_append(b, d, sizeof d);
}

void put_bytes(struct buffer *b, const void *data, size_t length) {
  put_u32(b, (uint32_t)length);
  buffer_append(b, data, length);
}

void put_str(struct buffer *b, const char *text) { put_bytes(b, text, strlen(text)); }

struct reader reader_of(const void *data, size_t length) {
  const uint8_t *p = data;
  return (struct reader){.at = p, .end = p + length};
}

static const uint8_t *take(struct reader *r, size_t n) {
  if (r->bad || (size_t)(r->end - r->at) < n) {
    r->bad = true;
    return NULL;
  }
  const uint8_t *p = r->at;
  r->at += n;
  return p;
}

static uint64_t little(struct reader *r, unsigned n) {
  const uint8_t *p = take(r, n);
  uint64_t v = 0;
  if (p)
    for (unsigned i = 0; i < n; i++) v |= (uint64_t)p[i] << (8 * i);
  return v;
}

uint8_t get_u8(struct reader *r) { return (uint8_t)little(r, 1); }
uint16_t get_u16(struct reader *r) { return (uint16_t)little(r, 2); }
uint32_t get_u32(struct reader *r) { return (uint32_t)little(r, 4); }
uint64_t get_u64(struct reader *r) { return little(r, 8); }

const uint8_t *get_bytes(struct reader *r, uint32_t *length) {
  uint32_t n = get_u32(r);
  const uint8_t *p = take(r, n);
  *length = p ? n : 0;
  return p;
}

void get_str(struct reader *r, char *out, size_t size) {
  uint32_t n;
  const uint8_t *p = get_bytes(r, &n);
  out[0] = 0;
  if (!p) return;
  if (n >= size || memchr(p, 0, n)) {
    r->bad = true;
    return;
  }
  memcpy(out, p, n);
  out[n] = 0;
}

char *get_str_dup(struct reader *r) {
  uint32_t n;
  const uint8_t *p = get_bytes(r, &n);
  if (!p) return NULL;
  if (memchr(p, 0, n)) {
    r->bad = true;
    return NULL;
  }
  char *out = xalloc((size_t)n + 1);
  memcpy(out, p, n);
  return out;
}

uint64_t now_ns(int clock) {
  struct timespec t;
  if (clock_gettime((clockid_t)clock, &t)) return 0;
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int write_all(int fd, const void *data, size_t length) {
  const uint8_t *p = data;
  while (length) {
    ssize_t n = write(fd, p, length);
    if (n < 0) {
      if (errno == EINTR) continue;
      return -1;
    }
    p += n;
    length -= (size_t)n;
  }
  return 0;
}

int write_file_at(int dirfd, const char *name, const char *text) {
  int fd = openat(dirfd, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return -1;
  int result = write_all(fd, text, strlen(text));
  int saved = errno;
  if (close(fd) && !result) return -1;
  errno = saved;
  return result;
}

ssize_t read_file_at(int dirfd, const char *name, char *out, size_t size) {
  int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return -1;
  size_t have = 0;
  for (;;) {
    ssize_t n = read(fd, out + have, size - 1 - have);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      int saved = errno;
      close(fd);
      errno = saved;
      return -1;
    }
    if (n == 0 || have + (size_t)n >= size - 1) {
      have += (size_t)n;
      break;
    }
    have += (size_t)n;
  }
  close(fd);
  out[have] = 0;
  return (ssize_t)have;
}

const char *errno_name(int errnum) {
  const char *name = strerrorname_np(errnum);
  return name ? name : "EUNKNOWN";
}

bool switched_off(const char *feature) {
  const char *list = getenv("MAYFLY_NATIVE_OFF");
  size_t n = strlen(feature);
  for (const char *p = list; p && *p; p += strcspn(p, ","), p += *p ? 1 : 0)
    if (strcspn(p, ",") == n && !strncmp(p, feature, n)) return true;
  return false;
}

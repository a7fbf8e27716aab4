/* The tar format, written: a header, and what its facts need of extended headers. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base.h"
#include "tarheader.h"

static void pad(struct buffer *out) {
  static const uint8_t zero[TAR_BLOCK];
  size_t rest = out->length % TAR_BLOCK;
  if (rest != 0) buffer_append(out, zero, TAR_BLOCK - rest);
}

static bool octal(uint8_t *field, size_t width, uint64_t value) {
  for (size_t i = width - 1; i-- > 0; value >>= 3) field[i] = (uint8_t)('0' + (value & 7));
  return value == 0;
}

void tar_write_pax(struct buffer *to, const char *key, const void *value, size_t length) {
  size_t body = strlen(key) + length + 3, total = body + 1;
  char digits[24];
  while (body + (size_t)snprintf(digits, sizeof digits, "%zu", total) != total) total++;
  buffer_append(to, digits, strlen(digits));
  buffer_append(to, " ", 1);
  buffer_append(to, key, strlen(key));
  buffer_append(to, "=", 1);
  buffer_append(to, value, length);
  buffer_append(to, "\n", 1);
}

static void pax_number(struct buffer *to, const char *key, uint64_t value) {
  char digits[24];
  snprintf(digits, sizeof digits, "%llu", (unsigned long long)value);
  tar_write_pax(to, key, digits, strlen(digits));
}

void tar_write_header(struct buffer *out, const char *path, const char *link, char type, const struct stat *st,
                      uint64_t size, struct buffer *extra) {
  uint8_t b[TAR_BLOCK] = { 0 };
  size_t length = strlen(path), link_length = strlen(link);
  if (length > 100) tar_write_pax(extra, "path", path, length);
  if (link_length > 100) tar_write_pax(extra, "linkpath", link, link_length);
  memcpy(b, path, length < 100 ? length : 100);
  memcpy(b + 157, link, link_length < 100 ? link_length : 100);
  octal(b + 100, 8, st->st_mode & 07777);
  if (!octal(b + 108, 8, st->st_uid)) pax_number(extra, "uid", st->st_uid);
  if (!octal(b + 116, 8, st->st_gid)) pax_number(extra, "gid", st->st_gid);
  if (!octal(b + 124, 12, size)) pax_number(extra, "size", size);
  uint64_t seconds = st->st_mtim.tv_sec < 0 ? 0 : (uint64_t)st->st_mtim.tv_sec;
  octal(b + 136, 12, seconds);
  b[156] = (uint8_t)type;
  memcpy(b + 257, "ustar\00000", 8);
  octal(b + 329, 8, type == '3' || type == '4' ? major(st->st_rdev) : 0);
  octal(b + 337, 8, type == '3' || type == '4' ? minor(st->st_rdev) : 0);
  if (extra->length > 0 && type != 'x') {
    struct stat plain = { .st_mode = 0644 };
    struct buffer none = { 0 };
    tar_write_header(out, "PaxHeader", "", 'x', &plain, extra->length, &none);
    buffer_append(out, extra->data, extra->length);
    pad(out);
  }
  memset(b + 148, ' ', 8);
  uint64_t sum = 0;
  for (size_t i = 0; i < TAR_BLOCK; i++) sum += b[i];
  octal(b + 148, 7, sum);
  buffer_append(out, b, TAR_BLOCK);
}

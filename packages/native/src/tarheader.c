#include "tarheader.h"

#include <stdlib.h>
#include <string.h>

#include "base.h"

static char *copy_text(const uint8_t *data, size_t length) {
  char *out = xalloc(length + 1);
  memcpy(out, data, length);
  out[length] = '\0';
  return out;
}

/* Octal with blanks around it, or base-256 when the first bit is set. Negative base-256 is an error. */
static bool number(const uint8_t *field, size_t length, uint64_t *out) {
  uint64_t value = 0;
  if (field[0] & 0x80) {
    if (field[0] & 0x40) return false;
    for (size_t i = 0; i < length; i++) {
      uint64_t byte = i == 0 ? (uint64_t)(field[0] & 0x3f) : field[i];
      if (value >> 56) return false;
      value = value << 8 | byte;
    }
    *out = value;
    return true;
  }
  size_t i = 0;
  while (i < length && field[i] == ' ') i++;
  for (; i < length && field[i] >= '0' && field[i] <= '7'; i++) {
    if (value >> 61) return false;
    value = value << 3 | (uint64_t)(field[i] - '0');
  }
  for (; i < length; i++) {
    if (field[i] == '\0') break;
    if (field[i] != ' ') return false;
  }
  *out = value;
  return true;
}

/* mtime may be negative in base-256. */
static bool signed_number(const uint8_t *field, size_t length, int64_t *out) {
  if (field[0] == 0xff) {
    uint64_t value = UINT64_MAX;
    for (size_t i = 1; i < length; i++) {
      if (i + 8 < length && field[i] != 0xff) return false;
      value = value << 8 | field[i];
    }
    *out = (int64_t)value;
    return *out < 0;
  }
  uint64_t value;
  if (!number(field, length, &value) || value > INT64_MAX) return false;
  *out = (int64_t)value;
  return true;
}

static bool decimal(const char *text, uint64_t *out) {
  uint64_t value = 0;
  if (*text == '\0') return false;
  for (; *text; text++) {
    if (*text < '0' || *text > '9') return false;
    uint64_t digit = (uint64_t)(*text - '0');
    if (value > (UINT64_MAX - digit) / 10) return false;
    value = value * 10 + digit;
  }
  *out = value;
  return true;
}

static bool pax_time(const char *text, struct timespec *out) {
  bool negative = *text == '-';
  if (negative) text++;
  char whole[24];
  size_t length = strcspn(text, ".");
  if (length >= sizeof whole) return false;
  memcpy(whole, text, length);
  whole[length] = '\0';
  uint64_t seconds;
  if (!decimal(whole, &seconds) || seconds > INT64_MAX / 2) return false;
  long fraction = 0, unit = 100000000;
  if (text[length] == '.') {
    for (const char *at = text + length + 1; *at; at++) {
      if (*at < '0' || *at > '9') return false;
      fraction += (*at - '0') * unit;
      unit /= 10;
    }
  }
  out->tv_sec = negative ? -(time_t)seconds : (time_t)seconds;
  out->tv_nsec = fraction;
  if (negative && fraction > 0) {
    out->tv_sec -= 1;
    out->tv_nsec = 1000000000 - fraction;
  }
  return true;
}

static const char *replace_text(char **slot, const uint8_t *value, size_t length) {
  if (memchr(value, 0, length) != NULL) return "a NUL in a name";
  free(*slot);
  *slot = length == 0 ? NULL : copy_text(value, length);
  return NULL;
}

static const char *add_xattr(struct tar_entry *e, const char *name, const uint8_t *value, size_t length) {
  if (*name == '\0' || strlen(name) > 255 || length > 65536) return "an extended attribute is too large";
  if (e->xattr_count >= 256) return "too many extended attributes";
  for (size_t i = 0; i < e->xattr_count; i++) {
    if (strcmp(e->xattrs[i].name, name) != 0) continue;
    free(e->xattrs[i].value);
    e->xattrs[i].value = (uint8_t *)copy_text(value, length);
    e->xattrs[i].length = length;
    return NULL;
  }
  struct tar_xattr *grown = realloc(e->xattrs, (e->xattr_count + 1) * sizeof *grown);
  if (grown == NULL) return "out of memory";
  e->xattrs = grown;
  e->xattrs[e->xattr_count++] = (struct tar_xattr){
    .name = xstrdup(name), .value = (uint8_t *)copy_text(value, length), .length = length,
  };
  return NULL;
}

static const char *pax_record(struct tar_entry *e, const char *key, const uint8_t *value, size_t length) {
  if (strncmp(key, "GNU.sparse.", 11) == 0) return "sparse files are not supported";
  if (strcmp(key, "path") == 0) return replace_text(&e->path, value, length);
  if (strcmp(key, "linkpath") == 0) return replace_text(&e->link, value, length);
  if (strncmp(key, "SCHILY.xattr.", 13) == 0) return add_xattr(e, key + 13, value, length);
  bool size = strcmp(key, "size") == 0, uid = strcmp(key, "uid") == 0, gid = strcmp(key, "gid") == 0;
  bool mtime = strcmp(key, "mtime") == 0;
  if (!size && !uid && !gid && !mtime) return NULL;
  char text[48];
  if (length >= sizeof text || memchr(value, 0, length) != NULL) return "a bad number in an extended header";
  memcpy(text, value, length);
  text[length] = '\0';
  if (mtime) {
    e->has_mtime = length > 0;
    return length == 0 || pax_time(text, &e->mtime) ? NULL : "a bad time in an extended header";
  }
  uint64_t parsed = 0;
  if (length > 0 && !decimal(text, &parsed)) return "a bad number in an extended header";
  if (size) {
    e->size = parsed;
    e->has_size = length > 0;
    return NULL;
  }
  if (parsed >= UINT32_MAX) return "an owner is out of range";
  if (uid) {
    e->uid = (uint32_t)parsed;
    e->has_uid = length > 0;
  } else {
    e->gid = (uint32_t)parsed;
    e->has_gid = length > 0;
  }
  return NULL;
}

const char *tar_parse_pax(struct tar_entry *e, const uint8_t *data, size_t length, bool global) {
  const char *bad = "a malformed extended header";
  size_t at = 0;
  while (at < length) {
    size_t total = 0, i = at;
    for (; i < length && data[i] >= '0' && data[i] <= '9' && total <= TAR_EXTENDED_MAX; i++) {
      total = total * 10 + (size_t)(data[i] - '0');
    }
    if (i == at || i >= length || data[i] != ' ' || total > length - at || total < i - at + 4) return bad;
    const uint8_t *key = data + i + 1, *end = data + at + total - 1;
    if (*end != '\n') return bad;
    const uint8_t *equals = memchr(key, '=', (size_t)(end - key));
    if (equals == NULL || equals == key || memchr(key, 0, (size_t)(equals - key)) != NULL) return bad;
    char *name = copy_text(key, (size_t)(equals - key));
    const char *why = NULL;
    if (!global) {
      why = pax_record(e, name, equals + 1, (size_t)(end - equals - 1));
    } else if (strcmp(name, "path") == 0 || strcmp(name, "linkpath") == 0 || strcmp(name, "size") == 0 ||
               strcmp(name, "uid") == 0 || strcmp(name, "gid") == 0 || strncmp(name, "SCHILY.xattr.", 13) == 0 ||
               strncmp(name, "GNU.sparse.", 11) == 0) {
      why = "a global header that would rename or resize entries";
    }
    free(name);
    if (why != NULL) return why;
    at += total;
  }
  return NULL;
}

const char *tar_parse_long(char **out, const uint8_t *data, size_t length) {
  if (length > 0 && data[length - 1] == '\0') length--;
  return replace_text(out, data, length);
}

bool tar_is_zero(const uint8_t *block) {
  static const uint8_t zero[TAR_BLOCK];
  return memcmp(block, zero, TAR_BLOCK) == 0;
}

const char *tar_header_size(const uint8_t *block, uint64_t *size) {
  uint64_t want;
  if (!number(block + 148, 8, &want)) return "not a tar header";
  uint64_t sum = 8 * ' ', signed_sum = 8 * ' ';
  for (size_t i = 0; i < TAR_BLOCK; i++) {
    if (i >= 148 && i < 156) continue;
    sum += block[i];
    signed_sum += (uint64_t)(int64_t)(int8_t)block[i];
  }
  if (want != sum && want != signed_sum) return "not a tar header (checksum)";
  if (!number(block + 124, 12, size) || *size > INT64_MAX / 2) return "a bad size";
  return NULL;
}

static char *header_path(const uint8_t *block) {
  size_t name = strnlen((const char *)block, 100);
  bool ustar = memcmp(block + 257, "ustar\0", 6) == 0;
  size_t prefix = ustar ? strnlen((const char *)block + 345, 155) : 0;
  char *out = xalloc(prefix + name + 2);
  size_t at = 0;
  if (prefix > 0) {
    memcpy(out, block + 345, prefix);
    out[prefix] = '/';
    at = prefix + 1;
  }
  memcpy(out + at, block, name);
  out[at + name] = '\0';
  return out;
}

const char *tar_parse_header(struct tar_entry *e, const uint8_t *block) {
  uint64_t value;
  const char *why = tar_header_size(block, &value);
  if (why != NULL) return why;
  if (!e->has_size) e->size = value;
  if (e->size > INT64_MAX / 2) return "a bad size";
  e->type = block[156] == '\0' ? '0' : (char)block[156];
  if (e->path == NULL) e->path = header_path(block);
  if (e->link == NULL) e->link = copy_text(block + 157, strnlen((const char *)block + 157, 100));
  if (!number(block + 100, 8, &value)) return "a bad mode";
  e->mode = (uint32_t)(value & 07777);
  if (!e->has_uid) {
    if (!number(block + 108, 8, &value) || value >= UINT32_MAX) return "an owner is out of range";
    e->uid = (uint32_t)value;
  }
  if (!e->has_gid) {
    if (!number(block + 116, 8, &value) || value >= UINT32_MAX) return "an owner is out of range";
    e->gid = (uint32_t)value;
  }
  if (!e->has_mtime) {
    int64_t seconds;
    if (!signed_number(block + 136, 12, &seconds)) return "a bad time";
    e->mtime = (struct timespec){ .tv_sec = (time_t)seconds };
  }
  e->major = e->minor = 0;
  if (e->type == '3' || e->type == '4') {
    if (!number(block + 329, 8, &value) || value > UINT32_MAX) return "a bad device number";
    e->major = (uint32_t)value;
    if (!number(block + 337, 8, &value) || value > UINT32_MAX) return "a bad device number";
    e->minor = (uint32_t)value;
  }
  if (e->type == '0' || e->type == '7') {
    size_t length = strlen(e->path);
    e->type = length > 0 && e->path[length - 1] == '/' ? '5' : '0';
  }
  return NULL;
}

void tar_entry_reset(struct tar_entry *e) {
  free(e->path);
  free(e->link);
  for (size_t i = 0; i < e->xattr_count; i++) {
    free(e->xattrs[i].name);
    free(e->xattrs[i].value);
  }
  free(e->xattrs);
  *e = (struct tar_entry){ 0 };
}

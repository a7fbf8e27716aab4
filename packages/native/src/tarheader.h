/* The tar format: headers, extended headers, and what an entry says. */
#ifndef MAYFLY_TARHEADER_H
#define MAYFLY_TARHEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* Where every file has one owner: whose it would be, as "UID:GID". */
#define OWNER_XATTR "user.mayfly.owner"

#define TAR_BLOCK 512u
#define TAR_EXTENDED_MAX (1u << 20)
#define TAR_PATH_MAX 4096u

struct tar_xattr {
  char *name;
  uint8_t *value;
  size_t length;
};

/* One entry, or what extended headers said so far about the next one (`has_*`). */
struct tar_entry {
  char *path;
  char *link;
  char type;
  uint32_t mode;
  uint32_t uid;
  uint32_t gid;
  uint32_t major;
  uint32_t minor;
  uint64_t size;
  struct timespec mtime;
  struct tar_xattr *xattrs;
  size_t xattr_count;
  bool has_size, has_uid, has_gid, has_mtime;
};

/* All answer NULL, or a reason in a few words. */
const char *tar_parse_pax(struct tar_entry *e, const uint8_t *data, size_t length, bool global);
const char *tar_parse_long(char **out, const uint8_t *data, size_t length);
const char *tar_parse_header(struct tar_entry *e, const uint8_t *block);
const char *tar_header_size(const uint8_t *block, uint64_t *size);
bool tar_is_zero(const uint8_t *block);
void tar_entry_reset(struct tar_entry *e);

struct stat;
struct buffer;
/* A record of an extended header. */
void tar_write_pax(struct buffer *to, const char *key, const void *value, size_t length);
/* A header, after an extended one where `extra` has records or the facts need some; `out` has whole blocks so far. */
void tar_write_header(struct buffer *out, const char *path, const char *link, char type, const struct stat *st,
                      uint64_t size, struct buffer *extra);

#endif

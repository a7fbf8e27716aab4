/* What every part shares: errors, byte buffers, and the decoder of the wire's primitives. */
#ifndef MAYFLY_BASE_H
#define MAYFLY_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PROTOCOL_VERSION 1u
#define PACKAGE_VERSION "0.1.0"
#define NO_INDEX 0xffffffffu

/* What failed: never more than this crosses the wire (docs/protocol.md, Frames). */
struct failure {
  uint32_t errnum;
  uint32_t index;
  char operation[32];
  char path[256];
  char step[48];
};

/* Fills `f` from errno (kept) and returns -1, so that a failing call can be `return fail(...)`. */
int fail(struct failure *f, const char *operation, const char *path, const char *step);
int fail_with(struct failure *f, int errnum, const char *operation, const char *path, const char *step);

/* A growing byte buffer. Memory that cannot be had ends the program: a supervisor without it cannot act. */
struct buffer {
  uint8_t *data;
  size_t length;
  size_t capacity;
};

void buffer_reserve(struct buffer *b, size_t more);
void buffer_append(struct buffer *b, const void *data, size_t length);
void buffer_consume(struct buffer *b, size_t length);
void buffer_free(struct buffer *b);
void put_u8(struct buffer *b, uint8_t v);
void put_u16(struct buffer *b, uint16_t v);
void put_u32(struct buffer *b, uint32_t v);
void put_u64(struct buffer *b, uint64_t v);
void put_bytes(struct buffer *b, const void *data, size_t length);
void put_str(struct buffer *b, const char *text);

/* A cursor over bytes from a client. Reading past the end sets `bad` and answers zeros: check once, at the end. */
struct reader {
  const uint8_t *at;
  const uint8_t *end;
  bool bad;
};

struct reader reader_of(const void *data, size_t length);
uint8_t get_u8(struct reader *r);
uint16_t get_u16(struct reader *r);
uint32_t get_u32(struct reader *r);
uint64_t get_u64(struct reader *r);
const uint8_t *get_bytes(struct reader *r, uint32_t *length);
/* A string copied into `out` with its NUL; too long or with a NUL inside: bad. */
void get_str(struct reader *r, char *out, size_t size);
/* A string in memory of its own (free it), or NULL when bad. */
char *get_str_dup(struct reader *r);

void *xalloc(size_t size);
char *xstrdup(const char *text);
uint64_t now_ns(int clock);

/* Writes everything or answers -1. */
int write_all(int fd, const void *data, size_t length);
/* Writes `text` into an existing file below `dirfd`. */
int write_file_at(int dirfd, const char *name, const char *text);
/* Reads a small file; answers its length, NUL-terminated, or -1. */
ssize_t read_file_at(int dirfd, const char *name, char *out, size_t size);
const char *errno_name(int errnum);
/* Whether MAYFLY_NATIVE_OFF, words with commas between, names this feature: tests take older kernels' paths with it. */
bool switched_off(const char *feature);

#endif

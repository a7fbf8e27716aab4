/* Inflates gzip members (RFC 1952, RFC 1951), from and to wherever its user says. Checksums are not looked at: whoever
 * inflates a layer compares the SHA-256 of the result. */
#ifndef MAYFLY_INFLATE_H
#define MAYFLY_INFLATE_H

#include <stddef.h>
#include <stdint.h>

/* `more_room` always offers at least this much. */
#define INFLATE_ROOM 1024u
#define INFLATE_WINDOW 32768u

struct inflate_flow {
  void *context;
  /* At most `room` more bytes into `to`; 0 at the end. */
  size_t (*more_input)(void *context, uint8_t *to, size_t room);
  /* Takes `written` bytes at the place it gave last, and gives the next one. The 32 KiB written last are readable just
   * before it. NULL: nothing more is wanted. */
  uint8_t *(*more_room)(void *context, size_t written, size_t *room);
};

/* Reads all input, what follows the last member included. `start` is what was read before. NULL, or what is wrong. */
const char *inflate_gzip(const struct inflate_flow *flow, const uint8_t *start, size_t length);

#endif

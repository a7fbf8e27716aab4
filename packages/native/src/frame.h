/* Ethernet frames as faults see them: what IPv4 and TCP say, and frames made in answer. Nothing outside a frame is read. */
#ifndef MAYFLY_FRAME_H
#define MAYFLY_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_PSH = 8, TCP_ACK = 16 };
/* Of a frame that is made, without its payload. */
enum { FRAME_HEADERS = 14 + 60 + 60 };

struct segment {
  uint32_t source, target;
  uint16_t source_port, target_port; /* 0 where there are none: later fragments, other protocols */
  uint8_t protocol;
  /* of TCP alone */
  bool tcp;
  uint8_t flags;
  uint32_t sequence, acknowledged;
  size_t headers, length; /* bytes before the payload, and its own */
};

/* false: no IPv4. */
bool frame_read(const uint8_t *frame, size_t n, struct segment *out);
/* The reset its sender gets from the other end (`back`), or the other end from its sender; answers its length. */
size_t frame_reset(const uint8_t *frame, const struct segment *s, bool back, uint8_t *out);
/* A frame with `length` bytes of the payload from `from` on, its checksums whole; answers its length. Room: FRAME_HEADERS more. */
size_t frame_part(const uint8_t *frame, const struct segment *s, size_t from, size_t length, uint8_t flags, uint8_t *out);

#endif

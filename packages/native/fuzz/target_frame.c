/* Frames of a container: no byte outside of one is read, and what is made in answer can be read again. */
#include <string.h>

#include "../src/frame.h"
#include "fuzz.h"

void target_start(void) {}

static void again(const uint8_t *frame, size_t n, uint32_t sequence, size_t length) {
  struct segment s;
  if (!frame_read(frame, n, &s) || !s.tcp) fuzz_found("a frame is made that is none");
  if (s.sequence != sequence || s.length != length) fuzz_found("a frame is made that says something else");
}

void target_run(const uint8_t *data, size_t length) {
  static uint8_t made[INPUT_MAX + FRAME_HEADERS];
  struct segment s;
  if (!frame_read(data, length, &s)) return;
  if (!s.tcp) {
    if (s.length || s.headers) fuzz_found("a payload of no connection");
    return;
  }
  if (s.headers + s.length > length) fuzz_found("a payload beyond the frame");
  again(made, frame_reset(data, &s, false, made), s.sequence, 0);
  again(made, frame_reset(data, &s, true, made), s.flags & TCP_ACK ? s.acknowledged : 0, 0);
  for (size_t from = 0; from < s.length; from += 1400) {
    size_t n = s.length - from < 1400 ? s.length - from : 1400;
    size_t all = frame_part(data, &s, from, n, TCP_ACK, made);
    again(made, all, s.sequence + (uint32_t)from, n);
    if (memcmp(made + s.headers, data + s.headers + from, n) != 0) fuzz_found("a part that is another");
  }
}

size_t target_mutate(uint8_t *data, size_t length) { return fuzz_mutate_bytes(data, length, 4096); }

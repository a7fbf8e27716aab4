/* Inflating: no byte is read outside the input or the window, none written outside the room offered. */
#include <stdlib.h>
#include <string.h>

#include "../src/inflate.h"
#include "fuzz.h"

enum { MOST = 1 << 20 };

struct run {
  const uint8_t *data;
  size_t left, total;
  uint8_t *out; /* the window, then the room */
};

static size_t more_input(void *context, uint8_t *to, size_t room) {
  struct run *r = context;
  size_t n = r->left < room ? r->left : room;
  /* Pieces, so that every boundary is met. */
  n = n > 3000 ? 3000 : n;
  memcpy(to, r->data, n);
  r->data += n;
  r->left -= n;
  return n;
}

static uint8_t *more_room(void *context, size_t written, size_t *room) {
  struct run *r = context;
  if (written > INFLATE_ROOM) fuzz_found("more was written than there was room");
  if ((r->total += written) > MOST) return NULL;
  uint8_t *fresh = malloc(INFLATE_WINDOW + INFLATE_ROOM);
  if (!fresh) abort();
  memcpy(fresh, r->out + written, INFLATE_WINDOW);
  free(r->out);
  r->out = fresh;
  *room = INFLATE_ROOM;
  return fresh + INFLATE_WINDOW;
}

void target_start(void) {}

void target_run(const uint8_t *data, size_t length) {
  struct run r = {.data = data, .left = length, .out = calloc(1, INFLATE_WINDOW + INFLATE_ROOM)};
  if (!r.out) abort();
  const struct inflate_flow flow = {.context = &r, .more_input = more_input, .more_room = more_room};
  (void)inflate_gzip(&flow, data, 0);
  if (r.left > 0) fuzz_found("input was left");
  free(r.out);
}

size_t target_mutate(uint8_t *data, size_t length) { return fuzz_mutate_bytes(data, length, INPUT_MAX); }

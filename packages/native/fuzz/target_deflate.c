/* Deflating: what is inflated again is what went in, in whatever pieces it came, and these make no difference. */
#include <stdlib.h>
#include <string.h>

#include "../src/deflate.h"
#include "../src/inflate.h"
#include "fuzz.h"

enum { HEAD = 2, MOST_TIMES = 16 };

struct bytes {
  uint8_t *data;
  size_t length, room;
};

static void keep(void *context, const uint8_t *data, size_t length) {
  struct bytes *b = context;
  if (b->length + length > b->room) {
    b->room = 2 * (b->length + length);
    b->data = realloc(b->data, b->room);
    if (!b->data) abort();
  }
  memcpy(b->data + b->length, data, length);
  b->length += length;
}

static struct bytes deflated(const struct bytes *plain, size_t piece) {
  struct bytes made = {0};
  struct deflate *d = deflate_start(&made, keep);
  for (size_t at = 0; at < plain->length; at += piece)
    deflate_add(d, plain->data + at, plain->length - at < piece ? plain->length - at : piece);
  deflate_end(d);
  return made;
}

struct check {
  const struct bytes *plain;
  size_t done;
  uint8_t window[INFLATE_WINDOW + INFLATE_ROOM];
};

static size_t no_input(void *context, uint8_t *to, size_t room) {
  (void)context, (void)to, (void)room;
  return 0;
}

static uint8_t *compare(void *context, size_t written, size_t *room) {
  struct check *c = context;
  if (written > c->plain->length - c->done || memcmp(c->window + INFLATE_WINDOW, c->plain->data + c->done, written))
    fuzz_found("what comes out is not what went in");
  c->done += written;
  memmove(c->window, c->window + written, INFLATE_WINDOW);
  *room = INFLATE_ROOM;
  return c->window + INFLATE_WINDOW;
}

void target_start(void) {}

/* The first bytes say how often the rest comes, so that blocks end and matches reach back, and in which pieces. */
void target_run(const uint8_t *data, size_t length) {
  if (length <= HEAD) return;
  struct bytes plain = {0};
  for (int times = 1 + data[0] % MOST_TIMES; times > 0; times--) keep(&plain, data + HEAD, length - HEAD);
  struct bytes whole = deflated(&plain, plain.length), parts = deflated(&plain, 1 + 37 * (size_t)data[1]);
  if (whole.length != parts.length || memcmp(whole.data, parts.data, whole.length)) fuzz_found("pieces make a difference");
  struct check c = {.plain = &plain};
  const struct inflate_flow flow = {.context = &c, .more_input = no_input, .more_room = compare};
  if (inflate_gzip(&flow, whole.data, whole.length) || c.done != plain.length) fuzz_found("it is not inflated whole");
  free(plain.data);
  free(whole.data);
  free(parts.data);
}

size_t target_mutate(uint8_t *data, size_t length) { return fuzz_mutate_bytes(data, length, INPUT_MAX); }

/* A ring of bytes between two processes: mapped twice in a row, so that what lies in it is always in one piece. */
#ifndef MAYFLY_RING_H
#define MAYFLY_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RING_SIZE (2u << 20)
#define RING_PART (128u << 10)

struct ring {
  uint8_t *base;
  size_t place, space; /* the writer's or the reader's next byte; the writer's free bytes */
  int full, freed; /* pipes of lengths: what was written, what was read */
};

/* Makes both ends. 0 or -1. */
int ring_make(struct ring *writer, struct ring *reader);
/* RING_PART bytes to write to, once they are free; NULL when the reader is gone. What was written last, at least
 * RING_SIZE / 2 - RING_PART of it, is readable just before them. */
uint8_t *ring_room(struct ring *writer);
/* False when the reader is gone. */
bool ring_written(struct ring *writer, size_t length);
/* How many more bytes can be read behind those given before; 0 when the writer has ended. */
size_t ring_more(struct ring *reader);
void ring_read(struct ring *reader, size_t length);

#endif

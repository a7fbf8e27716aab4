/* Where a layer's plain tar comes from when its compressed bytes are on standard input: a process of its own inflates. */
#ifndef MAYFLY_SOURCE_H
#define MAYFLY_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ring.h"

struct source_options {
  const char *keep; /* a new file for the bytes as they come, or NULL */
  uint64_t max_plain; /* 0: no limit */
};

/* Starts it; `reader` is this process's end. 0 or -1. */
int source_start(const struct source_options *options, struct ring *reader);
/* Waits until it has read everything; `hex` becomes the SHA-256 of the bytes as they came. False when it failed, having
 * said why. */
bool source_end(char hex[65]);

#endif

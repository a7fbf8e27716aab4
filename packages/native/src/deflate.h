/* Deflates (RFC 1951) into one gzip member (RFC 1952), quickly rather than well. The same bytes give the same bytes on every
 * machine, in whatever pieces they come: a layer's digest is that of what is made here. */
#ifndef MAYFLY_DEFLATE_H
#define MAYFLY_DEFLATE_H

#include <stddef.h>
#include <stdint.h>

struct deflate;

/* `take` is given what is made. */
struct deflate *deflate_start(void *context, void (*take)(void *context, const uint8_t *data, size_t length));
void deflate_add(struct deflate *d, const uint8_t *data, size_t length);
/* Writes what is left, and frees. */
void deflate_end(struct deflate *d);

#endif

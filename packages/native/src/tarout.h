/* Where a tar goes: to standard output, or, told there, nowhere but into its digest, or compressed into a file. */
#ifndef MAYFLY_TAROUT_H
#define MAYFLY_TAROUT_H

#include <stddef.h>
#include <stdint.h>

void tarout_digest(void);
/* Into a file that is not there yet. Like what follows: 0, or -1 with errno. */
int tarout_gzip(const char *path);
int tarout_add(const uint8_t *data, size_t length);
/* Prints `plain DIGEST BYTES`, `files BYTES` and, of a file, `gzip DIGEST BYTES`. */
int tarout_end(uint64_t file_bytes);

#endif

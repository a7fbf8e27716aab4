/* SHA-256 (FIPS 180-4), by the processor's own instructions where it has them. */
#ifndef MAYFLY_SHA256_H
#define MAYFLY_SHA256_H

#include <stddef.h>
#include <stdint.h>

struct sha256 {
  uint32_t state[8];
  uint64_t length;
  uint8_t block[64];
};

void sha256_start(struct sha256 *s);
void sha256_add(struct sha256 *s, const uint8_t *data, size_t length);
/* 64 hexadecimal digits and a NUL. */
void sha256_end(struct sha256 *s, char hex[65]);

#endif

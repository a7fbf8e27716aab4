/* How archives are changed so that most of one still means something: what the targets that read tars share. */
#ifndef MAYFLY_TAR_MUTATE_H
#define MAYFLY_TAR_MUTATE_H

#include <string.h>

#include "../src/tarheader.h"
#include "fuzz.h"

static size_t digits(uint8_t *field, size_t width, uint64_t value) {
  for (size_t i = width - 1; i-- > 0; value >>= 3) field[i] = (uint8_t)('0' + (value & 7));
  field[width - 1] = 0;
  return width;
}

static void seal(uint8_t *block) {
  uint64_t sum = 0;
  memset(block + 148, ' ', 8);
  for (size_t i = 0; i < TAR_BLOCK; i++) sum += block[i];
  digits(block + 148, 7, sum);
}

size_t target_mutate(uint8_t *data, size_t length) {
  static const struct { uint16_t at, width; } fields[] = {
    {0, 100}, {0, 100}, {100, 8}, {108, 8}, {116, 8}, {124, 12}, {136, 12}, {156, 1}, {156, 1}, {157, 100}, {257, 8}, {345, 155}};
  static const char types[] = "01234567xgLKSD";
  for (uint32_t rounds = 1 + fuzz_random(4); rounds; rounds--) {
    size_t blocks = length / TAR_BLOCK;
    uint8_t *block = data + TAR_BLOCK * fuzz_random((uint32_t)blocks);
    if (!blocks || !fuzz_random(8)) {
      length = fuzz_mutate_bytes(data, length, INPUT_MAX);
      continue;
    }
    size_t rest = (size_t)(data + length - block);
    switch (fuzz_random(6)) {
      case 0: /* the block again, or one more of another place */
        if (length + TAR_BLOCK > INPUT_MAX) break;
        memmove(block + TAR_BLOCK, block, rest);
        length += TAR_BLOCK;
        break;
      case 1:
        memmove(block, block + TAR_BLOCK, rest - TAR_BLOCK);
        length -= TAR_BLOCK;
        break;
      case 2: block[156] = (uint8_t)types[fuzz_random(sizeof types - 1)]; break;
      case 3: digits(block + 124, 12, fuzz_random(3) ? fuzz_random(4) * 512 : fuzz_random(UINT32_MAX)); break;
      case 4: { /* one header's name as another's link, and the like */
        uint8_t *other = data + TAR_BLOCK * fuzz_random((uint32_t)blocks);
        memmove(block + (fuzz_random(2) ? 157 : 0), other + (fuzz_random(2) ? 157 : 0), 100);
        break;
      }
      default: {
        size_t field = fuzz_random(sizeof fields / sizeof *fields);
        (void)fuzz_mutate_bytes(block + fields[field].at, fields[field].width, fields[field].width);
      }
    }
  }
  /* Without right checksums nothing behind them would be reached. */
  if (fuzz_random(16))
    for (size_t at = 0; at + TAR_BLOCK <= length;) {
      uint64_t size = 0;
      bool zero = tar_is_zero(data + at);
      if (!zero) seal(data + at);
      if (zero || tar_header_size(data + at, &size)) size = 0;
      if (data[at + 156] >= '1' && data[at + 156] <= '6') size = 0;
      if (size > length - at) break;
      at += TAR_BLOCK + (size_t)(size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
    }
  return length;
}

#endif

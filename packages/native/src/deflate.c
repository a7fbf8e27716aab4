#include "deflate.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base.h"
#include "huffman.h"

enum {
  WINDOW = 1 << 15, BLOCK = 1 << 18, HASH_BITS = 15, SHORTEST = 4, LONGEST = 258, STORED = 65535,
  LITLEN = 286, DIST = 30, PRE = 19, END_OF_BLOCK = 256, REPEAT = 16, ZEROS = 17, MANY_ZEROS = 18,
  OUT_SIZE = 1 << 16,
};
/* A token: a literal, or a match's length - 3 in bits 15–22 and distance - 1 below. */
#define MATCH (1u << 31)

struct deflate {
  void *context;
  void (*take)(void *context, const uint8_t *data, size_t length);
  uint64_t bits, total;
  unsigned bit_count;
  uint32_t crc;
  size_t before, filled, out_length; /* before: bytes of the window that stand ahead of the block */
  uint32_t places[1 << HASH_BITS][2]; /* where these four bytes stood last and before that, plus 1 */
  uint32_t tokens[BLOCK];
  size_t token_count;
  uint32_t litlen[LITLEN], dist[DIST], table[8][256];
  uint8_t out[OUT_SIZE], data[WINDOW + BLOCK];
};

static void make_table(uint32_t table[8][256]) {
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t rest = i;
    for (int bit = 0; bit < 8; bit++) rest = rest >> 1 ^ (rest & 1 ? 0xedb88320u : 0);
    table[0][i] = rest;
  }
  for (size_t row = 1; row < 8; row++)
    for (size_t i = 0; i < 256; i++) table[row][i] = table[row - 1][i] >> 8 ^ table[0][table[row - 1][i] & 255];
}

static uint32_t little(const uint8_t *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24; }

/* CRC-32 of gzip, eight bytes at a time. */
static uint32_t checked(uint32_t t[8][256], uint32_t crc, const uint8_t *data, size_t length) {
  crc = ~crc;
  for (; length >= 8; length -= 8, data += 8) {
    uint32_t a = little(data) ^ crc, b = little(data + 4);
    crc = t[7][a & 255] ^ t[6][a >> 8 & 255] ^ t[5][a >> 16 & 255] ^ t[4][a >> 24] ^ t[3][b & 255] ^ t[2][b >> 8 & 255] ^ t[1][b >> 16 & 255] ^ t[0][b >> 24];
  }
  for (; length > 0; length--) crc = crc >> 8 ^ t[0][(crc ^ *data++) & 255];
  return ~crc;
}

static void put(struct deflate *d, const void *data, size_t length) {
  for (const uint8_t *at = data; length > 0;) {
    size_t part = length < OUT_SIZE - d->out_length ? length : OUT_SIZE - d->out_length;
    memcpy(d->out + d->out_length, at, part);
    at += part;
    length -= part;
    if ((d->out_length += part) < OUT_SIZE) continue;
    d->take(d->context, d->out, d->out_length);
    d->out_length = 0;
  }
}

/* At most 32 bits, the first one lowest. */
static void put_bits(struct deflate *d, uint32_t value, unsigned count) {
  d->bits |= (uint64_t)value << d->bit_count;
  d->bit_count += count;
  if (d->bit_count < 32) return;
  const uint8_t four[4] = {(uint8_t)d->bits, (uint8_t)(d->bits >> 8), (uint8_t)(d->bits >> 16), (uint8_t)(d->bits >> 24)};
  put(d, four, 4);
  d->bits >>= 32;
  d->bit_count -= 32;
}

static void put_whole_byte(struct deflate *d) {
  for (; d->bit_count > 0; d->bit_count = d->bit_count > 8 ? d->bit_count - 8 : 0, d->bits >>= 8) {
    const uint8_t one = (uint8_t)d->bits;
    put(d, &one, 1);
  }
  d->bits = 0;
}

struct code {
  uint32_t symbol, extra;
  unsigned extra_bits;
};

static unsigned log2_of(uint32_t value) { return 31u - (unsigned)__builtin_clz(value); }

static struct code length_code(uint32_t less3) {
  if (less3 == LONGEST - 3) return (struct code){.symbol = 285};
  if (less3 < 8) return (struct code){.symbol = 257 + less3};
  const unsigned bits = log2_of(less3) - 2;
  return (struct code){.symbol = 257 + 4 * (bits + 1) + (less3 >> bits & 3), .extra = less3 & ((1u << bits) - 1), .extra_bits = bits};
}

static struct code distance_code(uint32_t less1) {
  if (less1 < 4) return (struct code){.symbol = less1};
  const unsigned bits = log2_of(less1) - 1;
  return (struct code){.symbol = 2 * (bits + 1) + (less1 >> bits & 1), .extra = less1 & ((1u << bits) - 1), .extra_bits = bits};
}

static size_t common(const uint8_t *a, const uint8_t *b, size_t most) {
  size_t n = 0;
  for (uint64_t x, y; n + 8 <= most; n += 8) {
    memcpy(&x, a + n, 8);
    memcpy(&y, b + n, 8);
    if (x != y) break;
  }
  while (n < most && a[n] == b[n]) n++;
  return n;
}

static void note(struct deflate *d, size_t at) {
  uint32_t *two = d->places[little(d->data + at) * 2654435761u >> (32 - HASH_BITS)];
  two[1] = two[0];
  two[0] = (uint32_t)at + 1;
}

static void literal(struct deflate *d, size_t at) {
  d->tokens[d->token_count++] = d->data[at];
  d->litlen[d->data[at]]++;
}

/* The longest of what stood at the two last places where the same four bytes did. */
static void find_matches(struct deflate *d) {
  const size_t end = d->before + d->filled;
  memset(d->litlen, 0, sizeof d->litlen);
  memset(d->dist, 0, sizeof d->dist);
  d->token_count = 0;
  size_t at = d->before, missed = 0;
  while (at + SHORTEST <= end) {
    const uint32_t *two = d->places[little(d->data + at) * 2654435761u >> (32 - HASH_BITS)];
    size_t best = 0, distance = 0;
    for (int i = 0; i < 2 && two[i] > 0; i++) {
      const size_t place = two[i] - 1;
      if (at - place > WINDOW) break;
      const size_t most = end - at < LONGEST ? end - at : LONGEST, found = common(d->data + place, d->data + at, most);
      if (found <= best) continue;
      best = found;
      distance = at - place;
    }
    note(d, at);
    if (best < SHORTEST) {
      /* Where nothing repeats, less and less is looked at. */
      for (size_t left = 1 + (missed++ >> 5); left > 0 && at < end; left--) literal(d, at++);
      continue;
    }
    missed = 0;
    const uint32_t less3 = (uint32_t)best - 3, less1 = (uint32_t)distance - 1;
    d->tokens[d->token_count++] = MATCH | less3 << 15 | less1;
    d->litlen[length_code(less3).symbol]++;
    d->dist[distance_code(less1).symbol]++;
    for (size_t step = best > 32 ? 8 : 2, next = at + step; next < at + best && next + SHORTEST <= end; next += step) note(d, next);
    at += best;
  }
  while (at < end) literal(d, at++);
  d->litlen[END_OF_BLOCK] = 1;
}

struct header {
  uint8_t litlen[LITLEN], dist[DIST], pre[PRE], symbols[LITLEN + DIST], extra[LITLEN + DIST];
  size_t litlen_count, dist_count, pre_count, count;
  uint64_t bits;
};

static const uint8_t PRE_ORDER[PRE] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
static const uint8_t PRE_EXTRA[PRE] = {[REPEAT] = 2, [ZEROS] = 3, [MANY_ZEROS] = 7};

/* Both codes' lengths in one row, repetitions shortened. */
static void shorten(struct header *h, uint32_t counts[PRE]) {
  uint8_t row[LITLEN + DIST];
  const size_t length = h->litlen_count + h->dist_count;
  memcpy(row, h->litlen, h->litlen_count);
  memcpy(row + h->litlen_count, h->dist, h->dist_count);
  for (size_t at = 0, run; at < length; at += run) {
    const size_t most = row[at] == 0 ? 138 : at > 0 && row[at] == row[at - 1] ? 6 : 1;
    for (run = 1; at + run < length && run < most && row[at + run] == row[at];) run++;
    uint8_t symbol = row[at], extra = 0;
    if (row[at] == 0 && run >= 3) {
      symbol = run >= 11 ? MANY_ZEROS : ZEROS;
      extra = (uint8_t)(run - (run >= 11 ? 11 : 3));
    } else if (row[at] != 0 && run >= 3) {
      symbol = REPEAT;
      extra = (uint8_t)(run - 3);
    } else {
      run = 1;
    }
    h->symbols[h->count] = symbol;
    h->extra[h->count++] = extra;
    counts[symbol]++;
  }
}

static void make_header(const struct deflate *d, struct header *h) {
  uint32_t counts[PRE] = {0};
  memset(h, 0, sizeof *h);
  huffman_lengths(d->litlen, LITLEN, 15, h->litlen);
  huffman_lengths(d->dist, DIST, 15, h->dist);
  for (h->litlen_count = LITLEN; h->litlen_count > 257 && h->litlen[h->litlen_count - 1] == 0;) h->litlen_count--;
  for (h->dist_count = DIST; h->dist_count > 1 && h->dist[h->dist_count - 1] == 0;) h->dist_count--;
  shorten(h, counts);
  huffman_lengths(counts, PRE, 7, h->pre);
  for (h->pre_count = PRE; h->pre_count > 4 && h->pre[PRE_ORDER[h->pre_count - 1]] == 0;) h->pre_count--;
  h->bits = 3 + 14 + 3 * (uint64_t)h->pre_count;
  for (size_t i = 0; i < PRE; i++) h->bits += (uint64_t)counts[i] * (h->pre[i] + PRE_EXTRA[i]);
  for (size_t i = 0; i < LITLEN; i++) h->bits += (uint64_t)d->litlen[i] * (h->litlen[i] + (i < 265 || i == 285 ? 0u : (unsigned)(i - 261) / 4));
  for (size_t i = 0; i < DIST; i++) h->bits += (uint64_t)d->dist[i] * (h->dist[i] + (i < 4 ? 0u : (unsigned)i / 2 - 1));
}

static void put_compressed(struct deflate *d, const struct header *h, bool final) {
  uint16_t litlen[LITLEN], dist[DIST], pre[PRE];
  huffman_codes(h->litlen, LITLEN, litlen);
  huffman_codes(h->dist, DIST, dist);
  huffman_codes(h->pre, PRE, pre);
  put_bits(d, (final ? 1u : 0u) | 2u << 1, 3);
  put_bits(d, (uint32_t)(h->litlen_count - 257) | (uint32_t)(h->dist_count - 1) << 5 | (uint32_t)(h->pre_count - 4) << 10, 14);
  for (size_t i = 0; i < h->pre_count; i++) put_bits(d, h->pre[PRE_ORDER[i]], 3);
  for (size_t i = 0; i < h->count; i++) {
    put_bits(d, pre[h->symbols[i]], h->pre[h->symbols[i]]);
    put_bits(d, h->extra[i], PRE_EXTRA[h->symbols[i]]);
  }
  for (size_t i = 0; i < d->token_count; i++) {
    const uint32_t token = d->tokens[i];
    if (!(token & MATCH)) {
      put_bits(d, litlen[token], h->litlen[token]);
      continue;
    }
    const struct code length = length_code(token >> 15 & 255), distance = distance_code(token & (WINDOW - 1));
    put_bits(d, litlen[length.symbol] | length.extra << h->litlen[length.symbol], h->litlen[length.symbol] + length.extra_bits);
    put_bits(d, dist[distance.symbol] | distance.extra << h->dist[distance.symbol], h->dist[distance.symbol] + distance.extra_bits);
  }
  put_bits(d, litlen[END_OF_BLOCK], h->litlen[END_OF_BLOCK]);
}

static void put_stored(struct deflate *d, bool final) {
  const uint8_t *at = d->data + d->before;
  size_t left = d->filled;
  do {
    const size_t part = left < STORED ? left : STORED;
    put_bits(d, final && part == left, 3);
    put_whole_byte(d);
    put_bits(d, (uint32_t)part | ((uint32_t)~part & 0xffffu) << 16, 32);
    put(d, at, part);
    at += part;
    left -= part;
  } while (left > 0);
}

static void put_block(struct deflate *d, bool final) {
  struct header h;
  find_matches(d);
  make_header(d, &h);
  const uint64_t stored = 8 * ((uint64_t)d->filled + 5 * (d->filled / STORED + 1));
  if (stored <= h.bits) put_stored(d, final);
  else put_compressed(d, &h, final);
  if (final) return;
  /* The last of it is the next block's window. */
  const size_t end = d->before + d->filled, gone = end > WINDOW ? end - WINDOW : 0;
  memmove(d->data, d->data + gone, end - gone);
  for (size_t i = 0; i < 1u << HASH_BITS; i++)
    for (int k = 0; k < 2; k++) d->places[i][k] = d->places[i][k] > gone ? d->places[i][k] - (uint32_t)gone : 0;
  d->before = end - gone;
  d->filled = 0;
}

struct deflate *deflate_start(void *context, void (*take)(void *context, const uint8_t *data, size_t length)) {
  /* No time, no name, no system: they would not be the same everywhere. 4: the fastest way. */
  static const uint8_t header[10] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255};
  struct deflate *d = xalloc(sizeof *d);
  d->context = context;
  d->take = take;
  make_table(d->table);
  put(d, header, sizeof header);
  return d;
}

void deflate_add(struct deflate *d, const uint8_t *data, size_t length) {
  d->crc = checked(d->table, d->crc, data, length);
  d->total += length;
  while (length > 0) {
    const size_t part = length < BLOCK - d->filled ? length : BLOCK - d->filled;
    memcpy(d->data + d->before + d->filled, data, part);
    data += part;
    length -= part;
    if ((d->filled += part) == BLOCK) put_block(d, false);
  }
}

void deflate_end(struct deflate *d) {
  put_block(d, true);
  put_whole_byte(d);
  put_bits(d, d->crc, 32);
  put_bits(d, (uint32_t)d->total, 32);
  d->take(d->context, d->out, d->out_length);
  free(d);
}

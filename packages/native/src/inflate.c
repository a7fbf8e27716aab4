#include "inflate.h"

#include <stdbool.h>
#include <string.h>

#include "base.h"

enum {
  IN_SIZE = 256 << 10, IN_BEFORE = 8, IN_PAD = 64, IN_MARGIN = 64, HEADER_MAX = 1024,
  OUT_MARGIN = 300, /* three literals, the longest match, and what its copy writes too much */
  LITLEN_BITS = 11, DIST_BITS = 8, PRE_BITS = 7,
  LITLEN_TABLE = 2342, DIST_TABLE = 402, /* the most that complete codes of 15 bits need */
  END_OF_BLOCK = 1 << 12, INVALID = 1 << 13, SUBTABLE = 1 << 14, EXCEPTIONAL = 1 << 15,
};
/* An entry: bits 0–7 what to consume, extra bits included; 8–11 the code's length (or the subtable's bits); 16–30 the
 * literal, base value or place of the subtable. */
#define LITERAL (1u << 31)

#define CUT_OFF "the compressed data are cut off"
#define DAMAGED "the compressed data are damaged"
static const char stopped[] = "stopped";

struct inflater {
  const struct inflate_flow *flow;
  uint8_t *in, *in_next, *in_end;
  bool ended, cut_off, bmi2;
  uint64_t bits;
  unsigned count;
  uint8_t *out_start, *out_next, *out_end;
  int64_t before; /* bytes of this member that lie before out_start; less than 0: it begins behind that */
  uint32_t litlen[LITLEN_TABLE], dist[DIST_TABLE];
};

/* Keeps what is not consumed, and the bytes before it, which align() may give back. At the end zeros follow, which are never taken for input: see overrun(). */
static void fill_input(struct inflater *s) {
  if (s->ended) return;
  size_t have = (size_t)(s->in_end - s->in_next);
  memmove(s->in - IN_BEFORE, s->in_next - IN_BEFORE, have + IN_BEFORE);
  s->in_next = s->in;
  while (have < HEADER_MAX && !s->ended) {
    size_t got = s->flow->more_input(s->flow->context, s->in + have, IN_SIZE - have);
    s->ended = got == 0;
    have += got;
  }
  s->in_end = s->in + have;
  if (s->ended) memset(s->in_end, 0, IN_PAD);
}

static const uint8_t *in_limit(const struct inflater *s) { return s->ended ? s->in_end + 16 : s->in_end - IN_MARGIN; }

static bool overrun(const struct inflater *s) { return s->cut_off || s->in_next - s->count / 8 > s->in_end; }

static bool more_room(struct inflater *s) {
  size_t written = (size_t)(s->out_next - s->out_start), room = 0;
  s->before += (int64_t)written;
  s->out_start = s->out_next = s->flow->more_room(s->flow->context, written, &room);
  if (s->out_start == NULL) return false;
  s->out_end = s->out_start + room;
  return true;
}

static uint64_t load(const uint8_t *p) {
  uint64_t v;
  memcpy(&v, p, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  v = __builtin_bswap64(v);
#endif
  return v;
}

/* At least 56 bits; those above `count` are the same that come in again next time. */
#define REFILL(bits, count, in) \
  ((bits) |= load(in) << (count), (in) += (63 - (count)) >> 3, (count) |= 56)

static unsigned take(struct inflater *s, unsigned n) {
  if (s->in_next < s->in_end + 16) {
    REFILL(s->bits, s->count, s->in_next);
  } else {
    s->cut_off = true;
    s->count |= 56;
  }
  unsigned v = (unsigned)(s->bits & ((1u << n) - 1));
  s->bits >>= n;
  s->count -= n;
  return v;
}

static uint32_t entry_of(uint32_t result, unsigned length) {
  return result + (length << 8) + length;
}

/* `results` hold an entry's base and, in the low byte, its extra bits. False where the lengths are no code. */
static bool build(uint32_t *table, unsigned primary, const uint8_t *lengths, unsigned n, const uint32_t *results) {
  uint16_t of_length[16] = {0}, at[16], sorted[320];
  for (unsigned i = 0; i < n; i++) of_length[lengths[i]]++;
  unsigned max = 15;
  while (max > 0 && of_length[max] == 0) max--;
  int left = 1;
  of_length[0] = 0;
  at[0] = 0;
  for (unsigned i = 1; i < 16; i++) {
    at[i] = (uint16_t)(at[i - 1] + of_length[i - 1]);
    left = left * 2 - of_length[i];
    if (left < 0) return false;
  }
  /* As zlib has it: a lone code of one bit, or none at all, may leave the rest open. */
  if (left > 0 && (max > 1 || primary == PRE_BITS)) return false;
  if (left > 0)
    for (unsigned i = 0; i < 1u << primary; i++) table[i] = EXCEPTIONAL | INVALID;
  for (unsigned i = 0; i < n; i++)
    if (lengths[i] != 0) sorted[at[lengths[i]]++] = (uint16_t)i;
  unsigned total = at[15], next = 1u << primary, code = 0, prefix = ~0u, start = 0, width = 0;
  for (unsigned i = 0; i < total; i++) {
    unsigned length = lengths[sorted[i]];
    uint32_t entry = entry_of(results[sorted[i]], length);
    if (length <= primary) {
      for (unsigned k = code; k < 1u << primary; k += 1u << length) table[k] = entry;
    } else {
      if ((code & ((1u << primary) - 1)) != prefix) {
        prefix = code & ((1u << primary) - 1);
        width = length - primary;
        int room = 1 << width;
        while (width + primary < max && (room -= of_length[width + primary]) > 0) {
          width++;
          room *= 2;
        }
        start = next;
        next += 1u << width;
        table[prefix] = EXCEPTIONAL | SUBTABLE | start << 16 | width << 8 | primary;
      }
      for (unsigned k = code >> primary; k < 1u << width; k += 1u << (length - primary)) table[start + k] = entry;
    }
    of_length[length]--;
    unsigned bit = 1u << (length - 1);
    while (code & bit) bit >>= 1;
    code = bit == 0 ? 0 : (code & (bit - 1)) + bit;
  }
  return true;
}

static uint32_t litlen_results[288], dist_results[32], pre_results[19];

static void prepare_results(void) {
  for (uint32_t i = 0; i < 19; i++) pre_results[i] = i << 16;
  for (uint32_t i = 0; i < 256; i++) litlen_results[i] = LITERAL | i << 16;
  litlen_results[256] = EXCEPTIONAL | END_OF_BLOCK;
  for (uint32_t i = 257, base = 3; i < 285; i++) {
    uint32_t extra = i < 265 ? 0 : (i - 261) / 4;
    litlen_results[i] = base << 16 | extra;
    base += 1u << extra;
  }
  litlen_results[285] = 258u << 16;
  litlen_results[286] = litlen_results[287] = dist_results[30] = dist_results[31] = EXCEPTIONAL | INVALID;
  for (uint32_t i = 0, base = 1; i < 30; i++) {
    uint32_t extra = i < 4 ? 0 : (i - 2) / 2;
    dist_results[i] = base << 16 | extra;
    base += 1u << extra;
  }
}

static const char *fixed_codes(struct inflater *s) {
  uint8_t lengths[288];
  for (unsigned i = 0; i < 288; i++) lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
  bool good = build(s->litlen, LITLEN_BITS, lengths, 288, litlen_results);
  memset(lengths, 5, 32);
  return good && build(s->dist, DIST_BITS, lengths, 32, dist_results) ? NULL : DAMAGED;
}

static const char *dynamic_codes(struct inflater *s) {
  static const uint8_t order[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
  unsigned litlens = take(s, 5) + 257, dists = take(s, 5) + 1, pres = take(s, 4) + 4;
  if (litlens > 286 || dists > 30) return DAMAGED;
  uint8_t lengths[320] = {0};
  uint32_t table[1 << PRE_BITS];
  for (unsigned i = 0; i < pres; i++) lengths[order[i]] = (uint8_t)take(s, 3);
  if (!build(table, PRE_BITS, lengths, 19, pre_results)) return DAMAGED;
  memset(lengths, 0, sizeof lengths);
  for (unsigned i = 0; i < litlens + dists;) {
    (void)take(s, 0);
    uint32_t entry = table[s->bits & ((1 << PRE_BITS) - 1)];
    (void)take(s, entry & 0xff);
    unsigned symbol = entry >> 16, times = 1;
    uint8_t length = (uint8_t)symbol;
    if (symbol == 16) {
      if (i == 0) return DAMAGED;
      length = lengths[i - 1];
      times = 3 + take(s, 2);
    } else if (symbol > 16) {
      length = 0;
      times = symbol == 17 ? 3 + take(s, 3) : 11 + take(s, 7);
    }
    if (times > litlens + dists - i) return DAMAGED;
    for (; times > 0; times--) lengths[i++] = length;
  }
  if (lengths[256] == 0) return DAMAGED;
  if (!build(s->litlen, LITLEN_BITS, lengths, litlens, litlen_results)) return DAMAGED;
  return build(s->dist, DIST_BITS, lengths + litlens, dists, dist_results) ? NULL : DAMAGED;
}

static inline __attribute__((always_inline)) uint8_t *copy_match(uint8_t *out, unsigned distance, unsigned length) {
  const uint8_t *from = out - distance;
  uint8_t *end = out + length;
  if (distance >= 16) {
    do {
      memcpy(out, from, 16);
      out += 16;
      from += 16;
    } while (out < end);
  } else if (distance >= 8) {
    do {
      memcpy(out, from, 8);
      out += 8;
      from += 8;
    } while (out < end);
  } else if (distance == 1) {
    memset(out, *from, length);
  } else {
    do *out++ = *from++;
    while (out < end);
  }
  return end;
}

#define EXTRA(saved, entry) ((unsigned)((saved) & ((UINT64_C(1) << ((entry) & 0xff)) - 1)) >> ((entry) >> 8 & 15))
#define CONSUME(entry) (bits >>= (entry) & 0xff, count -= (entry) & 0xff)

/* Inlined into what is compiled for all machines, and for those that shift without flags. */
static inline __attribute__((always_inline)) const char *decode(struct inflater *s) {
  const uint32_t *const litlen = s->litlen, *const dist = s->dist;
  for (;;) {
    if (s->in_next >= in_limit(s)) {
      if (s->ended) return CUT_OFF;
      fill_input(s);
    }
    if (s->out_end - s->out_next < OUT_MARGIN && !more_room(s)) return stopped;
    const uint8_t *const limit = in_limit(s);
    uint8_t *const out_limit = s->out_end - OUT_MARGIN, *out = s->out_next, *in = s->in_next;
    uint64_t bits = s->bits;
    unsigned count = s->count;
    /* Not by way of `s`: what is written could be that, for all that a compiler knows. */
    const uint8_t *const out_start = s->out_start;
    const int64_t before = s->before;
    const char *outcome = "";
    REFILL(bits, count, in);
    uint32_t entry = litlen[bits & ((1 << LITLEN_BITS) - 1)];
    while (in < limit && out <= out_limit) {
      if (entry & LITERAL) {
        CONSUME(entry);
        *out++ = (uint8_t)(entry >> 16);
        entry = litlen[bits & ((1 << LITLEN_BITS) - 1)];
        if (entry & LITERAL) {
          CONSUME(entry);
          *out++ = (uint8_t)(entry >> 16);
          entry = litlen[bits & ((1 << LITLEN_BITS) - 1)];
          if (entry & LITERAL) {
            CONSUME(entry);
            *out++ = (uint8_t)(entry >> 16);
            REFILL(bits, count, in);
            entry = litlen[bits & ((1 << LITLEN_BITS) - 1)];
            continue;
          }
        }
      }
      if (entry & EXCEPTIONAL) {
        if (entry & SUBTABLE) entry = litlen[(entry >> 16) + (bits >> LITLEN_BITS & ((1u << (entry >> 8 & 15)) - 1))];
        if (entry & LITERAL) {
          CONSUME(entry);
          *out++ = (uint8_t)(entry >> 16);
          REFILL(bits, count, in);
          entry = litlen[bits & ((1 << LITLEN_BITS) - 1)];
          continue;
        }
        if (entry & EXCEPTIONAL) {
          CONSUME(entry);
          outcome = entry & END_OF_BLOCK ? NULL : DAMAGED;
          break;
        }
      }
      unsigned length = (entry >> 16) + EXTRA(bits, entry);
      CONSUME(entry);
      REFILL(bits, count, in);
      entry = dist[bits & ((1 << DIST_BITS) - 1)];
      if (entry & SUBTABLE) entry = dist[(entry >> 16 & 0x7fff) + (bits >> DIST_BITS & ((1u << (entry >> 8 & 15)) - 1))];
      if (entry & EXCEPTIONAL) {
        outcome = DAMAGED;
        break;
      }
      unsigned distance = (entry >> 16) + EXTRA(bits, entry);
      CONSUME(entry);
      if (distance > before + (out - out_start)) {
        outcome = DAMAGED;
        break;
      }
      /* What follows is looked up while the copy is under way. */
      REFILL(bits, count, in);
      entry = litlen[bits & ((1 << LITLEN_BITS) - 1)];
      out = copy_match(out, distance, length);
    }
    s->out_next = out;
    s->in_next = in;
    s->bits = bits;
    s->count = count;
    if (overrun(s)) return CUT_OFF;
    if (outcome == NULL || *outcome != '\0') return outcome;
  }
}

static const char *decode_anywhere(struct inflater *s) { return decode(s); }

#if defined __x86_64__
__attribute__((target("bmi,bmi2"))) static const char *decode_with_bmi2(struct inflater *s) { return decode(s); }

static bool has_bmi2(void) { return __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("bmi") && !switched_off("bmi2"); }
#else
#define decode_with_bmi2 decode_anywhere
static bool has_bmi2(void) { return false; }
#endif

static const char *coded_block(struct inflater *s) { return s->bmi2 ? decode_with_bmi2(s) : decode_anywhere(s); }

/* Gives whole bytes back to the input. False where there were none. */
static bool align(struct inflater *s) {
  if (overrun(s)) return false;
  s->in_next -= s->count / 8;
  s->bits = s->count = 0;
  return true;
}

/* The next `n` (at most HEADER_MAX) bytes of an aligned input, NULL at its end. */
static const uint8_t *bytes(struct inflater *s, size_t n) {
  if ((size_t)(s->in_end - s->in_next) < n) fill_input(s);
  if ((size_t)(s->in_end - s->in_next) < n) return NULL;
  s->in_next += n;
  return s->in_next - n;
}

static const char *stored_block(struct inflater *s) {
  const uint8_t *p = align(s) ? bytes(s, 4) : NULL;
  if (p == NULL) return CUT_OFF;
  size_t left = p[0] | (size_t)p[1] << 8;
  if ((left ^ 0xffff) != (p[2] | (size_t)p[3] << 8)) return DAMAGED;
  while (left > 0) {
    if (s->in_next == s->in_end) fill_input(s);
    if (s->in_next == s->in_end) return CUT_OFF;
    if (s->out_next == s->out_end && !more_room(s)) return stopped;
    size_t part = (size_t)(s->in_end - s->in_next), room = (size_t)(s->out_end - s->out_next);
    part = part < room ? part : room;
    part = part < left ? part : left;
    memcpy(s->out_next, s->in_next, part);
    s->out_next += part;
    s->in_next += part;
    left -= part;
  }
  return NULL;
}

static const char *member_header(struct inflater *s) {
  const uint8_t *p = bytes(s, 10);
  if (p == NULL) return CUT_OFF;
  uint8_t flags = p[3];
  if (p[2] != 8 || (flags & 0xe0) != 0) return "the compression is not gzip's";
  if (flags & 4) {
    if ((p = bytes(s, 2)) == NULL) return CUT_OFF;
    for (size_t left = p[0] | (size_t)p[1] << 8; left > 0; left--)
      if (bytes(s, 1) == NULL) return CUT_OFF;
  }
  for (unsigned texts = (flags >> 3 & 1u) + (flags >> 4 & 1u); texts > 0; texts--)
    do
      if ((p = bytes(s, 1)) == NULL) return CUT_OFF;
    while (*p != 0);
  return (flags & 2) && bytes(s, 2) == NULL ? CUT_OFF : NULL;
}

static const char *member(struct inflater *s) {
  const char *why = member_header(s);
  s->before = s->out_start - s->out_next;
  for (bool last = false; why == NULL && !last;) {
    if ((size_t)(s->in_end - s->in_next) < HEADER_MAX) fill_input(s);
    last = take(s, 1) == 1;
    unsigned kind = take(s, 2);
    if (kind == 0) why = stored_block(s);
    else if (kind == 3) why = DAMAGED;
    else why = kind == 1 ? fixed_codes(s) : dynamic_codes(s);
    if (why == NULL && overrun(s)) why = CUT_OFF;
    if (why == NULL && kind != 0) why = coded_block(s);
  }
  if (why != NULL) return why;
  return align(s) && bytes(s, 8) != NULL ? NULL : CUT_OFF;
}

const char *inflate_gzip(const struct inflate_flow *flow, const uint8_t *start, size_t length) {
  static struct inflater state;
  static uint8_t input[IN_BEFORE + IN_SIZE + IN_PAD];
  struct inflater *s = &state;
  *s = (struct inflater){.flow = flow, .bmi2 = has_bmi2(), .in = input + IN_BEFORE, .in_next = input + IN_BEFORE};
  if (litlen_results[256] == 0) prepare_results();
  if (length > 0) memcpy(s->in, start, length);
  s->in_end = s->in + length;
  const char *why = more_room(s) ? NULL : stopped;
  while (why == NULL) {
    why = member(s);
    if (why != NULL) break;
    fill_input(s);
    /* What follows without the mark of a member is ignored, as every gzip does. */
    if (s->in_end - s->in_next < 2 || s->in_next[0] != 0x1f || s->in_next[1] != 0x8b) break;
  }
  if (s->out_start != NULL && s->out_next > s->out_start) (void)more_room(s);
  while (!s->ended) {
    s->in_next = s->in_end;
    fill_input(s);
  }
  return why == stopped ? NULL : why;
}

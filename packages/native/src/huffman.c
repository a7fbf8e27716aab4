#include "huffman.h"

#include <stdlib.h>
#include <string.h>

enum { LONGEST = 15 };

struct leaf {
  uint32_t count;
  uint16_t symbol;
};

/* A total order, so that the same counts give the same code everywhere. */
static int by_count(const void *a, const void *b) {
  const struct leaf *x = a, *y = b;
  if (x->count != y->count) return x->count < y->count ? -1 : 1;
  return (x->symbol > y->symbol) - (x->symbol < y->symbol);
}

/* How many leaves, sorted, stand how deep in their tree. Leaves and the nodes made of the two rarest are two rows, both in order. */
static void depths(const struct leaf *leaves, size_t count, uint32_t at_depth[HUFFMAN_MOST]) {
  uint64_t weight[HUFFMAN_MOST];
  size_t above[2 * HUFFMAN_MOST]; /* of leaves, then of nodes: the node that each became a part of */
  uint16_t depth[HUFFMAN_MOST];
  size_t leaf = 0, node = 0;
  for (size_t made = 0; made + 1 < count; made++) {
    weight[made] = 0;
    for (int part = 0; part < 2; part++) {
      if (leaf < count && (node >= made || leaves[leaf].count <= weight[node])) {
        weight[made] += leaves[leaf].count;
        above[leaf++] = made;
      } else {
        weight[made] += weight[node];
        above[count + node++] = made;
      }
    }
  }
  depth[count - 2] = 0;
  for (size_t at = count - 2; at-- > 0;) depth[at] = (uint16_t)(depth[above[count + at]] + 1);
  for (size_t at = 0; at < count; at++) at_depth[depth[above[at]] + 1]++;
}

/* Those that stand too deep are brought up, and as many codes as that takes are made longer (Kraft's sum stays 1). */
static void limit(uint32_t at_depth[HUFFMAN_MOST], unsigned most) {
  for (size_t deep = most + 1; deep < HUFFMAN_MOST; deep++) {
    at_depth[most] += at_depth[deep];
    at_depth[deep] = 0;
  }
  uint32_t sum = 0;
  for (unsigned deep = 1; deep <= most; deep++) sum += at_depth[deep] << (most - deep);
  for (; sum > 1u << most; sum--) {
    unsigned deep = most - 1;
    while (at_depth[deep] == 0) deep--;
    at_depth[most]--;
    at_depth[deep]--;
    at_depth[deep + 1] += 2;
  }
}

void huffman_lengths(const uint32_t *counts, size_t symbols, unsigned most, uint8_t *lengths) {
  struct leaf leaves[HUFFMAN_MOST];
  uint32_t at_depth[HUFFMAN_MOST] = {0};
  size_t count = 0;
  for (size_t i = 0; i < symbols; i++)
    if (counts[i] > 0) leaves[count++] = (struct leaf){.count = counts[i], .symbol = (uint16_t)i};
  for (uint16_t spare = 0; count < 2; spare++)
    if (counts[spare] == 0) leaves[count++] = (struct leaf){.count = 1, .symbol = spare};
  qsort(leaves, count, sizeof *leaves, by_count);
  depths(leaves, count, at_depth);
  limit(at_depth, most);
  memset(lengths, 0, symbols);
  size_t at = 0;
  for (unsigned deep = most; deep > 0; deep--)
    for (uint32_t i = 0; i < at_depth[deep]; i++) lengths[leaves[at++].symbol] = (uint8_t)deep;
}

void huffman_codes(const uint8_t *lengths, size_t symbols, uint16_t *codes) {
  uint32_t next[LONGEST + 2] = {0};
  for (size_t i = 0; i < symbols; i++) next[lengths[i] + 1]++;
  next[1] = 0;
  for (unsigned bits = 1; bits <= LONGEST; bits++) next[bits + 1] = (next[bits] + next[bits + 1]) << 1;
  for (size_t i = 0; i < symbols; i++) {
    uint32_t code = lengths[i] == 0 ? 0 : next[lengths[i]]++, turned = 0;
    for (unsigned bit = 0; bit < lengths[i]; bit++) turned |= (code >> bit & 1) << (lengths[i] - 1 - bit);
    codes[i] = (uint16_t)turned;
  }
}

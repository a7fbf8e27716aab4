/* Huffman codes as DEFLATE has them (RFC 1951, 3.2.2): only their lengths are told. */
#ifndef MAYFLY_HUFFMAN_H
#define MAYFLY_HUFFMAN_H

#include <stddef.h>
#include <stdint.h>

#define HUFFMAN_MOST 288u

/* Lengths of at most `most` bits by how often symbols occur; 0 for those that do not. The code is complete: where fewer than two
 * symbols occur, others get one, too. */
void huffman_lengths(const uint32_t *counts, size_t symbols, unsigned most, uint8_t *lengths);
/* The codes of these lengths, first bit lowest, as they are written. */
void huffman_codes(const uint8_t *lengths, size_t symbols, uint16_t *codes);

#endif

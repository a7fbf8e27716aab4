#include "dns_message.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { TYPE_A = 1, TYPE_PTR = 12, TYPE_ANY = 255, CLASS_IN = 1, CLASS_ANY = 255 };
enum { NOERROR = 0, FORMERR = 1, NXDOMAIN = 3, NOTIMP = 4, REFUSED = 5 };
enum { RANGE = 0xC6120000u, RANGE_MASK = 0xFFFE0000u }; /* the addresses of containers: known here or nowhere */

struct question {
  char name[DNS_NAME];
  unsigned labels;
  size_t end; /* where it ends in the message */
  uint16_t type, class;
};

static uint16_t word(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }

static void put_word(uint8_t *p, uint16_t v) {
  p[0] = (uint8_t)(v >> 8);
  p[1] = (uint8_t)v;
}

/* A name in plain labels: the first of a message has nothing to point back to. Bytes that no host name has become '?'. */
static bool read_question(const uint8_t *m, size_t n, struct question *q) {
  size_t at = DNS_HEADER, length = 0;
  *q = (struct question){0};
  for (;;) {
    if (at >= n) return false;
    size_t label = m[at++];
    if (!label) break;
    if (label > 63 || label > n - at || length + label + 1 >= sizeof q->name) return false;
    if (length) q->name[length++] = '.';
    for (size_t i = 0; i < label; i++) {
      uint8_t c = m[at + i];
      q->name[length++] = (char)(isalnum(c) || c == '-' || c == '_' ? tolower(c) : '?');
    }
    at += label;
    q->labels++;
  }
  if (n - at < 4) return false;
  q->type = word(m + at);
  q->class = word(m + at + 2);
  q->end = at + 4;
  return true;
}

struct answer {
  uint8_t *out;
  size_t size, length;
  uint16_t count;
  bool cut;
};

static size_t begin(struct answer *a, const uint8_t *query, const struct question *q, unsigned code) {
  size_t n = q ? q->end : DNS_HEADER;
  memcpy(a->out, query, n);
  a->out[2] = (uint8_t)(0x84 | (query[2] & 0x79)); /* an authoritative answer; opcode and RD as asked */
  a->out[3] = (uint8_t)(0x80 | code);
  put_word(a->out + 4, q ? 1 : 0);
  memset(a->out + 6, 0, 6);
  return a->length = n;
}

static void add(struct answer *a, uint16_t type, const uint8_t *value, size_t n) {
  if (a->size - a->length < 12 + n) {
    a->cut = true;
    return;
  }
  uint8_t *p = a->out + a->length;
  put_word(p, 0xC00C); /* the question's name */
  put_word(p + 2, type);
  put_word(p + 4, CLASS_IN);
  memset(p + 6, 0, 4); /* valid now: the next container may have the name in a moment */
  put_word(p + 10, (uint16_t)n);
  memcpy(p + 12, value, n);
  a->length += 12 + n;
  a->count++;
}

static enum dns_verdict finish(struct answer *a, size_t *length) {
  put_word(a->out + 6, a->count);
  if (a->cut) a->out[2] |= 0x02;
  *length = a->length;
  return DNS_ANSWER;
}

static void add_addresses(struct answer *a, struct dns_table *t, const char *name, size_t found) {
  size_t skip = t->turn++ % found, seen = 0;
  for (size_t pass = 0; pass < 2; pass++) {
    seen = 0;
    for (size_t i = 0; i < t->count; i++) {
      if (strcmp(t->records[i].name, name)) continue;
      bool first = seen++ >= skip;
      if (first != (pass == 0)) continue;
      uint32_t v = t->records[i].address;
      const uint8_t bytes[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
      add(a, TYPE_A, bytes, sizeof bytes);
    }
  }
}

/* 4.3.2.1.in-addr.arpa */
static bool reverse_address(const char *name, uint32_t *address) {
  unsigned b[4];
  int end = 0;
  if (sscanf(name, "%3u.%3u.%3u.%3u.in-addr.arpa%n", &b[0], &b[1], &b[2], &b[3], &end) != 4 || !end || name[end]) return false;
  if (b[0] > 255 || b[1] > 255 || b[2] > 255 || b[3] > 255) return false;
  *address = b[3] << 24 | b[2] << 16 | b[1] << 8 | b[0];
  return true;
}

static void add_name(struct answer *a, const char *name) {
  uint8_t wire[DNS_NAME + 2];
  size_t n = 0;
  for (const char *p = name; *p;) {
    size_t label = strcspn(p, ".");
    wire[n++] = (uint8_t)label;
    memcpy(wire + n, p, label);
    n += label;
    p += label + (p[label] ? 1 : 0);
  }
  wire[n++] = 0;
  add(a, TYPE_PTR, wire, n);
}

static enum dns_verdict plain(struct answer *a, const uint8_t *query, const struct question *q, unsigned code, size_t *length) {
  (void)begin(a, query, q, code);
  return finish(a, length);
}

static enum dns_verdict reverse(struct answer *a, const struct dns_table *t, const uint8_t *query, const struct question *q,
                                uint32_t address, size_t *length) {
  const struct dns_record *found = NULL;
  for (size_t i = 0; i < t->count && !found; i++)
    if (t->records[i].address == address) found = &t->records[i];
  (void)begin(a, query, q, found ? NOERROR : NXDOMAIN);
  if (found && (q->type == TYPE_PTR || q->type == TYPE_ANY)) add_name(a, found->name);
  return finish(a, length);
}

enum dns_verdict dns_answer(struct dns_table *t, bool outside, const uint8_t *query, size_t n, uint8_t *out, size_t size,
                            size_t *length) {
  if (n < DNS_HEADER || query[2] & 0x80) return DNS_DROP; /* no question: answers are never answered */
  struct answer a = {.out = out, .size = size};
  struct question q;
  if (query[2] & 0x78) return plain(&a, query, NULL, NOTIMP, length);
  if (word(query + 4) != 1 || !read_question(query, n, &q)) return plain(&a, query, NULL, FORMERR, length);
  if (q.class != CLASS_IN && q.class != CLASS_ANY) return plain(&a, query, &q, REFUSED, length);
  size_t found = 0;
  for (size_t i = 0; i < t->count; i++) found += !strcmp(t->records[i].name, q.name);
  if (found) {
    (void)begin(&a, query, &q, NOERROR);
    if (q.type == TYPE_A || q.type == TYPE_ANY) add_addresses(&a, t, q.name, found);
    return finish(&a, length);
  }
  uint32_t address;
  if (reverse_address(q.name, &address) && (address & RANGE_MASK) == RANGE) return reverse(&a, t, query, &q, address, length);
  /* A bare name is a container's or nobody's; the world outside need not hear of it. */
  if (q.labels == 1 || !outside) return plain(&a, query, &q, NXDOMAIN, length);
  return DNS_FORWARD;
}

/* DNS questions answered from a table (RFC 1035). Pure: bytes in, bytes out. */
#ifndef MAYFLY_DNS_MESSAGE_H
#define MAYFLY_DNS_MESSAGE_H

#include "base.h"

enum { DNS_HEADER = 12, DNS_NAME = 254, DNS_UDP = 512 };
enum dns_verdict { DNS_DROP, DNS_ANSWER, DNS_FORWARD };

struct dns_record {
  char name[DNS_NAME]; /* lower case, without the last dot */
  uint32_t address;
};

struct dns_table {
  struct dns_record *records;
  size_t count;
  uint32_t turn; /* whose answer comes first, among those who share a name */
};

/*
 * What to do about a message from a client. DNS_ANSWER: `out` has the answer, `*length` bytes (at most `size`, which is
 * no less than DNS_UDP); one that does not fit is cut and says so. DNS_FORWARD: a name of the world outside; `outside`
 * tells whether there is one. Any input is allowed.
 */
enum dns_verdict dns_answer(struct dns_table *table, bool outside, const uint8_t *query, size_t n, uint8_t *out, size_t size,
                            size_t *length);

#endif

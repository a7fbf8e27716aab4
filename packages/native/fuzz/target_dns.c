/* Questions to a network's name server: no byte outside the message is read, and every answer is one. */
#include <stdio.h>
#include <string.h>

#include "../src/dns_message.h"
#include "fuzz.h"

static struct dns_record records[40];
static struct dns_table table = {.records = records};

void target_start(void) {
  for (size_t i = 0; i < 40; i++) {
    snprintf(records[i].name, sizeof records[i].name, "%s", i < 35 ? "many" : "db.test");
    records[i].address = 0xC6120003u + (uint32_t)i;
  }
  memset(records[39].name, 'x', sizeof records[39].name - 1);
  for (size_t i = 63; i < sizeof records[39].name - 1; i += 64) records[39].name[i] = '.';
}

void target_run(const uint8_t *data, size_t length) {
  if (length < 1) return;
  static uint8_t out[65535];
  uint8_t flags = data[0];
  size_t n = 0, size = flags & 1 ? sizeof out : DNS_UDP;
  table.count = flags & 2 ? 40 : flags & 4 ? 36 : 0;
  enum dns_verdict v = dns_answer(&table, flags & 8, data + 1, length - 1, out, size, &n);
  if (v == DNS_FORWARD && !(flags & 8)) fuzz_found("a question leaves where nothing may");
  if (v == DNS_DROP && length - 1 >= DNS_HEADER && !(data[3] & 0x80)) fuzz_found("a question without an answer");
  if (v != DNS_ANSWER) return;
  if (n < DNS_HEADER || n > size) fuzz_found("an answer of an impossible length");
  if (memcmp(out, data + 1, 2) || !(out[2] & 0x80)) fuzz_found("an answer that is none");
}

size_t target_mutate(uint8_t *data, size_t length) { return fuzz_mutate_bytes(data, length, 1024); }

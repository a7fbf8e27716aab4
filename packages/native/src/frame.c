#include "frame.h"

#include <string.h>

enum { ETHERNET = 14, PROTOCOL_TCP = 6, PROTOCOL_UDP = 17 };

static uint16_t get16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static uint32_t get32(const uint8_t *p) { return (uint32_t)get16(p) << 16 | get16(p + 2); }

static void put16(uint8_t *p, size_t v) {
  p[0] = (uint8_t)(v >> 8);
  p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v) {
  put16(p, v >> 16);
  put16(p + 2, v & 0xffff);
}

bool frame_read(const uint8_t *frame, size_t n, struct segment *out) {
  *out = (struct segment){0};
  if (n < ETHERNET + 20 || get16(frame + 12) != 0x0800) return false;
  const uint8_t *ip = frame + ETHERNET;
  size_t header = (size_t)(ip[0] & 15) * 4, total = get16(ip + 2);
  /* Short frames are padded; what the card is to cut up can say 0. */
  if (!total || total > n - ETHERNET) total = n - ETHERNET;
  if (ip[0] >> 4 != 4 || header < 20 || total < header) return false;
  out->protocol = ip[9];
  out->source = get32(ip + 12);
  out->target = get32(ip + 16);
  const uint8_t *rest = ip + header;
  size_t left = total - header;
  if ((get16(ip + 6) & 0x1fff) || (out->protocol != PROTOCOL_TCP && out->protocol != PROTOCOL_UDP) || left < 8) return true;
  out->source_port = get16(rest);
  out->target_port = get16(rest + 2);
  size_t own = left >= 20 ? (size_t)(rest[12] >> 4) * 4 : 0;
  if (out->protocol != PROTOCOL_TCP || own < 20 || own > left) return true;
  out->tcp = true;
  out->sequence = get32(rest + 4);
  out->acknowledged = get32(rest + 8);
  out->flags = rest[13] & 63;
  out->headers = ETHERNET + header + own;
  out->length = left - own;
  return true;
}

static uint32_t sum(const uint8_t *data, size_t n, uint32_t start) {
  uint64_t s = start;
  for (size_t i = 0; i + 1 < n; i += 2) s += get16(data + i);
  if (n & 1) s += (uint64_t)data[n - 1] << 8;
  while (s >> 16) s = (s & 0xffff) + (s >> 16);
  return (uint32_t)s;
}

/* `frame` has its IPv4 header of `header` bytes, then TCP of `n` bytes. */
static void finish(uint8_t *frame, size_t header, size_t n) {
  uint8_t *ip = frame + ETHERNET, *tcp = ip + header;
  put16(ip + 2, header + n);
  put16(ip + 10, 0);
  put16(ip + 10, ~sum(ip, header, 0) & 0xffff);
  put16(tcp + 16, 0);
  put16(tcp + 16, ~sum(tcp, n, sum(ip + 12, 8, PROTOCOL_TCP + (uint32_t)n)) & 0xffff);
}

size_t frame_reset(const uint8_t *frame, const struct segment *s, bool back, uint8_t *out) {
  memset(out, 0, ETHERNET + 40);
  memcpy(out, frame + (back ? 6 : 0), 6);
  memcpy(out + 6, frame + (back ? 0 : 6), 6);
  put16(out + 12, 0x0800);
  uint8_t *ip = out + ETHERNET, *tcp = ip + 20;
  ip[0] = 0x45;
  put16(ip + 6, 0x4000);
  ip[8] = 64;
  ip[9] = PROTOCOL_TCP;
  put32(ip + 12, back ? s->target : s->source);
  put32(ip + 16, back ? s->source : s->target);
  put16(tcp, back ? s->target_port : s->source_port);
  put16(tcp + 2, back ? s->source_port : s->target_port);
  tcp[12] = 5 << 4;
  tcp[13] = TCP_RST | TCP_ACK;
  if (!back) {
    put32(tcp + 4, s->sequence);
    put32(tcp + 8, s->acknowledged);
  } else if (s->flags & TCP_ACK) {
    tcp[13] = TCP_RST;
    put32(tcp + 4, s->acknowledged);
  } else {
    put32(tcp + 8, s->sequence + (uint32_t)s->length + !!(s->flags & TCP_SYN) + !!(s->flags & TCP_FIN));
  }
  finish(out, 20, 20);
  return ETHERNET + 40;
}

size_t frame_part(const uint8_t *frame, const struct segment *s, size_t from, size_t length, uint8_t flags, uint8_t *out) {
  size_t header = (size_t)(frame[ETHERNET] & 15) * 4;
  memcpy(out, frame, s->headers);
  memcpy(out + s->headers, frame + s->headers + from, length);
  uint8_t *tcp = out + ETHERNET + header;
  put32(tcp + 4, s->sequence + (uint32_t)from);
  tcp[13] = (uint8_t)((tcp[13] & ~63) | flags);
  finish(out, header, s->headers - ETHERNET - header + length);
  return s->headers + length;
}

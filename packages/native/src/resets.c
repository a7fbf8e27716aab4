/* Ends connections of a network namespace from outside of its programs (SOCK_DESTROY, Linux 4.5). */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "netlink.h"
#include "nlmessage.h"

enum { AT_ONCE = 1024 };

struct found {
  struct inet_diag_sockid ids[AT_ONCE];
  uint8_t families[AT_ONCE];
  size_t count;
};

/* Where it leads, 0 for the namespace itself. */
static uint32_t remote(const struct inet_diag_msg *d) {
  static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
  const uint8_t *to = (const void *)d->id.idiag_dst, *from = (const void *)d->id.idiag_src;
  if (d->idiag_family == AF_INET6) {
    if (memcmp(to, mapped, sizeof mapped) != 0) return 0;
    to += sizeof mapped;
    from += sizeof mapped;
  }
  if (to[0] == 127 || !memcmp(to, from, 4)) return 0;
  return (uint32_t)to[0] << 24 | (uint32_t)to[1] << 16 | (uint32_t)to[2] << 8 | to[3];
}

static bool wanted(const struct inet_diag_msg *d, uint32_t peer, uint16_t port) {
  uint32_t there = remote(d);
  if (!there || (peer && there != peer)) return false;
  return !port || ntohs(d->id.idiag_sport) == port || ntohs(d->id.idiag_dport) == port;
}

static int find(int diag, uint8_t family, uint32_t peer, uint16_t port, struct found *out) {
  const uint32_t open = 1u << TCP_ESTABLISHED | 1u << TCP_SYN_SENT | 1u << TCP_FIN_WAIT1 | 1u << TCP_FIN_WAIT2 | 1u << TCP_CLOSE_WAIT |
                        1u << TCP_LAST_ACK | 1u << TCP_CLOSING;
  const struct inet_diag_req_v2 request = {.sdiag_family = family, .sdiag_protocol = IPPROTO_TCP, .idiag_states = open};
  struct message m;
  message_begin(&m, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &request, sizeof request);
  m.header.nlmsg_seq = message_sequence();
  if (send(diag, &m, m.header.nlmsg_len, 0) < 0) return -1;
  _Alignas(struct nlmsghdr) uint8_t reply[16384];
  for (;;) {
    ssize_t n = recv(diag, reply, sizeof reply, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -1;
    size_t left = (size_t)n;
    for (const struct nlmsghdr *h = (void *)reply; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
      if (h->nlmsg_seq != m.header.nlmsg_seq) continue;
      if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR) return 0;
      const struct inet_diag_msg *d = NLMSG_DATA(h);
      if (out->count == AT_ONCE || !wanted(d, peer, port)) continue;
      out->families[out->count] = family;
      out->ids[out->count++] = d->id;
    }
  }
}

static int end(int diag, uint8_t family, const struct inet_diag_sockid *id) {
  const struct inet_diag_req_v2 request = {.sdiag_family = family, .sdiag_protocol = IPPROTO_TCP, .idiag_states = ~0u, .id = *id};
  struct message m;
  message_begin(&m, SOCK_DESTROY, 0, &request, sizeof request);
  return message_command(diag, &m);
}

int diag_reset(int diag, uint32_t peer, uint16_t port) {
  static struct found found;
  int total = 0;
  for (;;) {
    found.count = 0;
    if (find(diag, AF_INET, peer, port, &found) || find(diag, AF_INET6, peer, port, &found)) return -1;
    int ended = 0;
    for (size_t i = 0; i < found.count; i++) {
      if (!end(diag, found.families[i], &found.ids[i])) ended++;
      else if (errno != ENOENT) return -1;
    }
    total += ended;
    if (found.count < AT_ONCE || !ended) return total;
  }
}

#include "netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <linux/veth.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "nlmessage.h"

enum { OPERATIONAL = 6 }; /* IF_OPER_UP of linux/if.h, which does not go with net/if.h */
/* A worker of the kernel's is waited for so long. */
static const uint64_t SETTLE_NS = 500000000;

int route_socket(void) { return netlink_socket(NETLINK_ROUTE); }
int diag_socket(void) { return netlink_socket(NETLINK_SOCK_DIAG); }

int link_up(int route, uint32_t index) {
  struct message m;
  struct ifinfomsg link = {.ifi_index = (int)index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
  message_begin(&m, RTM_NEWLINK, 0, &link, sizeof link);
  return message_command(route, &m);
}

int link_address(int route, uint32_t index, uint32_t address, uint8_t prefix) {
  struct message m;
  struct ifaddrmsg a = {.ifa_family = AF_INET, .ifa_prefixlen = prefix, .ifa_index = index};
  message_begin(&m, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &a, sizeof a);
  uint32_t be = htonl(address), broadcast = htonl(address | (prefix < 32 ? 0xffffffffu >> prefix : 0));
  message_add(&m, IFA_LOCAL, &be, sizeof be);
  message_add(&m, IFA_ADDRESS, &be, sizeof be);
  if (prefix < 31) message_add(&m, IFA_BROADCAST, &broadcast, sizeof broadcast);
  return message_command(route, &m);
}

int link_hardware(int route, uint32_t index, const uint8_t mac[6]) {
  struct message m;
  struct ifinfomsg link = {.ifi_index = (int)index};
  message_begin(&m, RTM_NEWLINK, 0, &link, sizeof link);
  message_add(&m, IFLA_ADDRESS, mac, 6);
  return message_command(route, &m);
}

int bridge_create(int route, const char *name) {
  struct message m;
  struct ifinfomsg link = {.ifi_flags = IFF_UP, .ifi_change = IFF_UP};
  message_begin(&m, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &link, sizeof link);
  message_add(&m, IFLA_IFNAME, name, strlen(name) + 1);
  /* Its own: else it borrows the lowest of its ports', which leaves with a container, and neighbours send to the old one. */
  static const uint8_t mac[6] = {0x02, 'm', 'f', 0, 0, 1};
  message_add(&m, IFLA_ADDRESS, mac, sizeof mac);
  struct rtattr *info = message_add(&m, IFLA_LINKINFO, NULL, 0);
  message_add(&m, IFLA_INFO_KIND, "bridge", 6);
  message_end(&m, info);
  if (message_command(route, &m)) return -1;
  return (int)if_nametoindex(name);
}

int veth_create(int route, const char *name, uint32_t bridge, const char *peer, int peer_namespace) {
  struct message m;
  struct ifinfomsg link = {.ifi_flags = IFF_UP, .ifi_change = IFF_UP};
  message_begin(&m, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &link, sizeof link);
  message_add(&m, IFLA_IFNAME, name, strlen(name) + 1);
  if (bridge) message_add(&m, IFLA_MASTER, &bridge, sizeof bridge);
  struct rtattr *info = message_add(&m, IFLA_LINKINFO, NULL, 0);
  message_add(&m, IFLA_INFO_KIND, "veth", 4);
  struct rtattr *data = message_add(&m, IFLA_INFO_DATA, NULL, 0);
  /* The peer's own header has no IFF_UP: with it the kernel answers ENOTCONN. */
  struct ifinfomsg none = {0};
  struct rtattr *other = message_add(&m, VETH_INFO_PEER, &none, sizeof none);
  message_add(&m, IFLA_IFNAME, peer, strlen(peer) + 1);
  message_add(&m, IFLA_NET_NS_FD, &peer_namespace, sizeof peer_namespace);
  message_end(&m, other);
  message_end(&m, data);
  message_end(&m, info);
  return message_command(route, &m);
}

static const struct rtattr *attribute(const void *first, size_t left, uint16_t type) {
  for (const struct rtattr *a = first; RTA_OK(a, left); a = RTA_NEXT(a, left))
    if ((a->rta_type & NLA_TYPE_MASK) == type) return a;
  return NULL;
}

static const struct rtattr *nested(const struct rtattr *in, uint16_t type) {
  return in ? attribute(RTA_DATA(in), RTA_PAYLOAD(in), type) : NULL;
}

static bool is(const struct rtattr *a, uint8_t value) { return a && RTA_PAYLOAD(a) >= 1 && *(const uint8_t *)RTA_DATA(a) == value; }

/* 1: its packets pass; 0: not yet; -1. */
static int passes(int route, const char *name) {
  struct message m;
  struct ifinfomsg link = {0};
  message_begin(&m, RTM_GETLINK, 0, &link, sizeof link);
  message_add(&m, IFLA_IFNAME, name, strlen(name) + 1);
  _Alignas(struct nlmsghdr) uint8_t reply[16384];
  if (message_ask(route, &m, reply, sizeof reply)) return -1;
  const struct nlmsghdr *h = (const void *)reply;
  if (h->nlmsg_type != RTM_NEWLINK || h->nlmsg_len > sizeof reply) return -1;
  const size_t n = h->nlmsg_len - NLMSG_LENGTH(sizeof link);
  const struct rtattr *first = IFLA_RTA(NLMSG_DATA(h));
  if (!is(attribute(first, n, IFLA_OPERSTATE), OPERATIONAL)) return 0;
  const struct rtattr *info = attribute(first, n, IFLA_LINKINFO);
  if (!nested(info, IFLA_INFO_SLAVE_KIND)) return 1;
  return is(nested(nested(info, IFLA_INFO_SLAVE_DATA), IFLA_BRPORT_STATE), BR_STATE_FORWARDING);
}

void link_settle(int route, const char *name) {
  const struct timespec pause = {.tv_nsec = 200000};
  const uint64_t end = now_ns(CLOCK_MONOTONIC) + SETTLE_NS;
  while (!passes(route, name) && now_ns(CLOCK_MONOTONIC) < end) nanosleep(&pause, NULL);
}

bool address_unrouted(int route, uint32_t address) {
  struct message m;
  struct rtmsg r = {.rtm_family = AF_INET, .rtm_dst_len = 32, .rtm_flags = RTM_F_FIB_MATCH};
  message_begin(&m, RTM_GETROUTE, 0, &r, sizeof r);
  uint32_t be = htonl(address);
  message_add(&m, RTA_DST, &be, sizeof be);
  _Alignas(struct nlmsghdr) uint8_t reply[4096];
  if (message_ask(route, &m, reply, sizeof reply)) return errno == ENETUNREACH || errno == EHOSTUNREACH;
  struct nlmsghdr *h = (struct nlmsghdr *)(void *)reply;
  return h->nlmsg_type == RTM_NEWROUTE && ((struct rtmsg *)NLMSG_DATA(h))->rtm_dst_len == 0;
}

static bool v6_only(const struct nlmsghdr *h, const struct inet_diag_msg *d) {
  size_t left = h->nlmsg_len - NLMSG_LENGTH(sizeof *d);
  for (const struct rtattr *a = (const void *)(d + 1); RTA_OK(a, left); a = RTA_NEXT(a, left))
    if (a->rta_type == INET_DIAG_SKV6ONLY && RTA_PAYLOAD(a) >= 1) return *(const uint8_t *)RTA_DATA(a);
  return false;
}

static int dump_family(int diag, uint8_t family, struct listener *out, int max, int found) {
  struct {
    struct nlmsghdr header;
    struct inet_diag_req_v2 request;
  } m = {.header = {.nlmsg_len = sizeof m, .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                    .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP, .nlmsg_seq = message_sequence()},
         .request = {.sdiag_family = family, .sdiag_protocol = IPPROTO_TCP, .idiag_states = 1u << TCP_LISTEN}};
  if (send(diag, &m, sizeof m, 0) < 0) return -1;
  _Alignas(struct nlmsghdr) uint8_t reply[16384];
  for (;;) {
    ssize_t n = recv(diag, reply, sizeof reply, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -1;
    size_t left = (size_t)n;
    for (struct nlmsghdr *h = (struct nlmsghdr *)(void *)reply; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
      if (h->nlmsg_seq != m.header.nlmsg_seq) continue;
      if (h->nlmsg_type == NLMSG_DONE) return found;
      if (h->nlmsg_type == NLMSG_ERROR) return found;
      const struct inet_diag_msg *d = NLMSG_DATA(h);
      if (found < max) {
        out[found] = (struct listener){.family = family == AF_INET ? 4 : 6, .port = ntohs(d->id.idiag_sport)};
        memcpy(out[found].address, d->id.idiag_src, family == AF_INET ? 4 : 16);
        out[found].v6only = v6_only(h, d);
        found++;
      }
    }
  }
}

int diag_listeners(int diag, struct listener *out, int max) {
  int found = dump_family(diag, AF_INET, out, max, 0);
  return found < 0 ? -1 : dump_family(diag, AF_INET6, out, max, found);
}

int link_enslave(int route, const char *name, uint32_t bridge) {
  struct message m;
  struct ifinfomsg link = {.ifi_index = (int)if_nametoindex(name), .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
  if (!link.ifi_index) return -1;
  message_begin(&m, RTM_NEWLINK, 0, &link, sizeof link);
  message_add(&m, IFLA_MASTER, &bridge, sizeof bridge);
  return message_command(route, &m);
}

int link_delete(int route, uint32_t index) {
  struct message m;
  struct ifinfomsg link = {.ifi_index = (int)index};
  message_begin(&m, RTM_DELLINK, 0, &link, sizeof link);
  return message_command(route, &m);
}

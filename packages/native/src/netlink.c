#include "netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/inet_diag.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/veth.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ops.h"

struct message {
  struct nlmsghdr header;
  uint8_t body[1024];
};

static int netlink_socket(int family) {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, family);
  if (fd < 0) return -1;
  /* A reply that never comes must not hold up every container of the run. */
  struct timeval limit = {.tv_sec = 2};
  if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit)) {
    close(fd);
    return -1;
  }
  return fd;
}

int route_socket(void) { return netlink_socket(NETLINK_ROUTE); }
int diag_socket(void) { return netlink_socket(NETLINK_SOCK_DIAG); }

static void begin(struct message *m, uint16_t type, uint16_t flags, const void *fixed, size_t n) {
  memset(m, 0, sizeof *m);
  m->header.nlmsg_type = type;
  m->header.nlmsg_flags = NLM_F_REQUEST | flags;
  m->header.nlmsg_len = (uint32_t)NLMSG_LENGTH(n);
  memcpy(m->body, fixed, n);
}

static struct rtattr *add(struct message *m, uint16_t type, const void *value, size_t n) {
  struct rtattr *a = (struct rtattr *)(void *)((uint8_t *)m + NLMSG_ALIGN(m->header.nlmsg_len));
  a->rta_type = type;
  a->rta_len = (uint16_t)RTA_LENGTH(n);
  if (n) memcpy(RTA_DATA(a), value, n);
  m->header.nlmsg_len = (uint32_t)(NLMSG_ALIGN(m->header.nlmsg_len) + RTA_ALIGN(a->rta_len));
  return a;
}

static void end(struct message *m, struct rtattr *nest) {
  nest->rta_len = (uint16_t)((uint8_t *)m + m->header.nlmsg_len - (uint8_t *)nest);
}

static uint32_t next_sequence(void) {
  static uint32_t sequence;
  return ++sequence;
}

/* Sends and reads the answer into `reply`; the kernel's error becomes errno. */
static int ask(int fd, struct message *m, void *reply, size_t size) {
  m->header.nlmsg_seq = next_sequence();
  if (send(fd, m, m->header.nlmsg_len, 0) < 0) return -1;
  for (;;) {
    ssize_t n = recv(fd, reply, size, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -1;
    struct nlmsghdr *h = reply;
    if ((size_t)n < sizeof *h || h->nlmsg_seq != m->header.nlmsg_seq) continue;
    if (h->nlmsg_type != NLMSG_ERROR) return 0;
    int error = ((struct nlmsgerr *)NLMSG_DATA(h))->error;
    if (!error) return 0;
    errno = -error;
    return -1;
  }
}

static int command(int fd, struct message *m) {
  m->header.nlmsg_flags |= NLM_F_ACK;
  _Alignas(struct nlmsghdr) uint8_t reply[4096];
  return ask(fd, m, reply, sizeof reply);
}

int link_up(int route, uint32_t index) {
  struct message m;
  struct ifinfomsg link = {.ifi_index = (int)index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
  begin(&m, RTM_NEWLINK, 0, &link, sizeof link);
  return command(route, &m);
}

int link_address(int route, uint32_t index, uint32_t address, uint8_t prefix) {
  struct message m;
  struct ifaddrmsg a = {.ifa_family = AF_INET, .ifa_prefixlen = prefix, .ifa_index = index};
  begin(&m, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &a, sizeof a);
  uint32_t be = htonl(address), broadcast = htonl(address | (prefix < 32 ? 0xffffffffu >> prefix : 0));
  add(&m, IFA_LOCAL, &be, sizeof be);
  add(&m, IFA_ADDRESS, &be, sizeof be);
  if (prefix < 31) add(&m, IFA_BROADCAST, &broadcast, sizeof broadcast);
  return command(route, &m);
}

int default_route(int route, uint32_t gateway) {
  struct message m;
  struct rtmsg r = {.rtm_family = AF_INET, .rtm_table = RT_TABLE_MAIN, .rtm_protocol = RTPROT_BOOT,
                    .rtm_scope = RT_SCOPE_UNIVERSE, .rtm_type = RTN_UNICAST};
  begin(&m, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &r, sizeof r);
  uint32_t be = htonl(gateway);
  add(&m, RTA_GATEWAY, &be, sizeof be);
  return command(route, &m);
}

int bridge_create(int route, const char *name) {
  struct message m;
  struct ifinfomsg link = {.ifi_flags = IFF_UP, .ifi_change = IFF_UP};
  begin(&m, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &link, sizeof link);
  add(&m, IFLA_IFNAME, name, strlen(name) + 1);
  /* Its own: else it borrows the lowest of its ports', which leaves with a container, and neighbours send to the old one. */
  static const uint8_t mac[6] = {0x02, 'm', 'f', 0, 0, 1};
  add(&m, IFLA_ADDRESS, mac, sizeof mac);
  struct rtattr *info = add(&m, IFLA_LINKINFO, NULL, 0);
  add(&m, IFLA_INFO_KIND, "bridge", 6);
  end(&m, info);
  if (command(route, &m)) return -1;
  return (int)if_nametoindex(name);
}

int veth_create(int route, const char *name, uint32_t bridge, const char *peer, int peer_namespace) {
  struct message m;
  struct ifinfomsg link = {.ifi_flags = IFF_UP, .ifi_change = IFF_UP};
  begin(&m, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &link, sizeof link);
  add(&m, IFLA_IFNAME, name, strlen(name) + 1);
  if (bridge) add(&m, IFLA_MASTER, &bridge, sizeof bridge);
  struct rtattr *info = add(&m, IFLA_LINKINFO, NULL, 0);
  add(&m, IFLA_INFO_KIND, "veth", 4);
  struct rtattr *data = add(&m, IFLA_INFO_DATA, NULL, 0);
  /* The peer's own header has no IFF_UP: with it the kernel answers ENOTCONN. */
  struct ifinfomsg none = {0};
  struct rtattr *other = add(&m, VETH_INFO_PEER, &none, sizeof none);
  add(&m, IFLA_IFNAME, peer, strlen(peer) + 1);
  add(&m, IFLA_NET_NS_FD, &peer_namespace, sizeof peer_namespace);
  end(&m, other);
  end(&m, data);
  end(&m, info);
  return command(route, &m);
}

bool address_unrouted(int route, uint32_t address) {
  struct message m;
  struct rtmsg r = {.rtm_family = AF_INET, .rtm_dst_len = 32, .rtm_flags = RTM_F_FIB_MATCH};
  begin(&m, RTM_GETROUTE, 0, &r, sizeof r);
  uint32_t be = htonl(address);
  add(&m, RTA_DST, &be, sizeof be);
  _Alignas(struct nlmsghdr) uint8_t reply[4096];
  if (ask(route, &m, reply, sizeof reply)) return errno == ENETUNREACH || errno == EHOSTUNREACH;
  struct nlmsghdr *h = (struct nlmsghdr *)(void *)reply;
  return h->nlmsg_type == RTM_NEWROUTE && ((struct rtmsg *)NLMSG_DATA(h))->rtm_dst_len == 0;
}

static int dump_family(int diag, uint8_t family, struct listener *out, int max, int found) {
  struct {
    struct nlmsghdr header;
    struct inet_diag_req_v2 request;
  } m = {.header = {.nlmsg_len = sizeof m, .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                    .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP, .nlmsg_seq = next_sequence()},
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
        found++;
      }
    }
  }
}

int diag_listeners(int diag, struct listener *out, int max) {
  int found = dump_family(diag, AF_INET, out, max, 0);
  return found < 0 ? -1 : dump_family(diag, AF_INET6, out, max, found);
}

int op_loopback(struct child *c) {
  int route = route_socket();
  if (route < 0 || link_up(route, 1)) return fail(&c->failure, "loopback", "lo", "up");
  close(route);
  return 0;
}

/* Made from the hub's side, so that its end is up and in the bridge within the same message. */
int op_veth(struct child *c, struct reader *r) {
  uint32_t address = get_u32(r);
  uint8_t prefix = get_u8(r);
  uint32_t gateway = get_u32(r);
  if (r->bad) return 0;
  char name[IFNAMSIZ];
  snprintf(name, sizeof name, "v%u", c->veth_index);
  int self = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  if (self < 0) return fail(&c->failure, "veth", name, "open namespace");
  if (veth_create(c->hub_route_fd, name, c->bridge, "eth0", self)) return fail(&c->failure, "veth", name, "create");
  close(self);
  int route = route_socket();
  uint32_t index = if_nametoindex("eth0");
  if (route < 0 || !index) return fail(&c->failure, "veth", "eth0", "index");
  if (link_address(route, index, address, prefix)) return fail(&c->failure, "veth", "eth0", "address");
  if (link_up(route, index)) return fail(&c->failure, "veth", "eth0", "up");
  if (gateway && default_route(route, gateway)) return fail(&c->failure, "veth", "eth0", "route");
  close(route);
  return 0;
}

int link_enslave(int route, const char *name, uint32_t bridge) {
  struct message m;
  struct ifinfomsg link = {.ifi_index = (int)if_nametoindex(name), .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
  if (!link.ifi_index) return -1;
  begin(&m, RTM_NEWLINK, 0, &link, sizeof link);
  add(&m, IFLA_MASTER, &bridge, sizeof bridge);
  return command(route, &m);
}

int link_delete(int route, uint32_t index) {
  struct message m;
  struct ifinfomsg link = {.ifi_index = (int)index};
  begin(&m, RTM_DELLINK, 0, &link, sizeof link);
  return command(route, &m);
}

#include "routes.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

#include "nlmessage.h"

static int route_change(int route, const struct route *w, uint16_t type, uint16_t flags) {
  struct message m;
  const bool lost = !w->index && !w->gateway;
  struct rtmsg r = {.rtm_family = AF_INET, .rtm_dst_len = w->prefix, .rtm_table = RT_TABLE_UNSPEC, .rtm_protocol = RTPROT_BOOT,
                    .rtm_scope = w->gateway || lost ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
                    .rtm_type = lost ? RTN_UNREACHABLE : RTN_UNICAST};
  message_begin(&m, type, flags, &r, sizeof r);
  message_add(&m, RTA_TABLE, &w->table, sizeof w->table);
  uint32_t destination = htonl(w->destination), gateway = htonl(w->gateway);
  if (w->prefix) message_add(&m, RTA_DST, &destination, sizeof destination);
  if (w->gateway) message_add(&m, RTA_GATEWAY, &gateway, sizeof gateway);
  if (w->index) message_add(&m, RTA_OIF, &w->index, sizeof w->index);
  if (w->metric) message_add(&m, RTA_PRIORITY, &w->metric, sizeof w->metric);
  return message_command(route, &m);
}

int route_add(int route, const struct route *wanted) {
  return route_change(route, wanted, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL);
}

int route_delete(int route, const struct route *wanted) { return route_change(route, wanted, RTM_DELROUTE, 0); }

int rule_change(int route, bool add, const struct rule *w) {
  struct message m;
  struct fib_rule_hdr r = {.family = AF_INET, .src_len = w->prefix, .action = FR_ACT_TO_TBL};
  message_begin(&m, add ? RTM_NEWRULE : RTM_DELRULE, add ? NLM_F_CREATE | NLM_F_EXCL : 0, &r, sizeof r);
  message_add(&m, FRA_PRIORITY, &w->priority, sizeof w->priority);
  message_add(&m, FRA_IIFNAME, w->interface, strlen(w->interface) + 1);
  message_add(&m, FRA_TABLE, &w->table, sizeof w->table);
  uint32_t from = htonl(w->source);
  if (w->prefix) message_add(&m, FRA_SRC, &from, sizeof from);
  return message_command(route, &m);
}

int link_forwarding(int route, uint32_t index, bool on) {
  struct message m;
  struct ifinfomsg link = {.ifi_index = (int)index};
  const uint32_t value = on, none = 0;
  message_begin(&m, RTM_NEWLINK, 0, &link, sizeof link);
  struct rtattr *families = message_add(&m, IFLA_AF_SPEC, NULL, 0), *family = message_add(&m, AF_INET, NULL, 0);
  struct rtattr *settings = message_add(&m, IFLA_INET_CONF, NULL, 0);
  message_add(&m, IPV4_DEVCONF_FORWARDING, &value, sizeof value);
  message_add(&m, IPV4_DEVCONF_SEND_REDIRECTS, &none, sizeof none);
  message_end(&m, settings);
  message_end(&m, family);
  message_end(&m, families);
  return message_command(route, &m);
}

int link_address_delete(int route, uint32_t index, uint32_t address, uint8_t prefix) {
  struct message m;
  struct ifaddrmsg a = {.ifa_family = AF_INET, .ifa_prefixlen = prefix, .ifa_index = index};
  message_begin(&m, RTM_DELADDR, 0, &a, sizeof a);
  uint32_t be = htonl(address);
  message_add(&m, IFA_LOCAL, &be, sizeof be);
  return message_command(route, &m);
}

int link_move(int route, const char *name, uint32_t bridge) {
  struct message m;
  struct ifinfomsg link = {.ifi_flags = IFF_UP, .ifi_change = IFF_UP};
  message_begin(&m, RTM_NEWLINK, 0, &link, sizeof link);
  message_add(&m, IFLA_IFNAME, name, strlen(name) + 1);
  message_add(&m, IFLA_MASTER, &bridge, sizeof bridge);
  return message_command(route, &m);
}

int link_delete_named(int route, const char *name) {
  struct message m;
  struct ifinfomsg link = {0};
  message_begin(&m, RTM_DELLINK, 0, &link, sizeof link);
  message_add(&m, IFLA_IFNAME, name, strlen(name) + 1);
  return message_command(route, &m);
}

int link_arp(int route, const char *name, bool on) {
  struct message m;
  struct ifinfomsg link = {.ifi_flags = on ? 0 : IFF_NOARP, .ifi_change = IFF_NOARP};
  message_begin(&m, RTM_NEWLINK, 0, &link, sizeof link);
  message_add(&m, IFLA_IFNAME, name, strlen(name) + 1);
  return message_command(route, &m);
}

uint32_t link_master(int route, const char *name) {
  struct message m;
  struct ifinfomsg link = {0};
  message_begin(&m, RTM_GETLINK, 0, &link, sizeof link);
  message_add(&m, IFLA_IFNAME, name, strlen(name) + 1);
  _Alignas(struct nlmsghdr) uint8_t reply[16384];
  if (message_ask(route, &m, reply, sizeof reply)) return 0;
  const struct nlmsghdr *h = (void *)reply;
  size_t left = h->nlmsg_len - NLMSG_LENGTH(sizeof link);
  for (const struct rtattr *a = (const void *)(reply + NLMSG_LENGTH(sizeof link)); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
    uint32_t master;
    if (a->rta_type != IFLA_MASTER || RTA_PAYLOAD(a) < sizeof master) continue;
    memcpy(&master, RTA_DATA(a), sizeof master);
    return master;
  }
  errno = ENODEV;
  return 0;
}

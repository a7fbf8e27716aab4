/* Routes, rules and what the hub forwards. Addresses are in the host's byte order; errors are errno's. */
#ifndef MAYFLY_ROUTES_H
#define MAYFLY_ROUTES_H

#include "base.h"

enum { TABLE_MAIN = 254, TABLE_OUTBOUND = 100, TABLE_INTERNAL = 101 };
enum { RULE_HOST = 1000, RULE_HUB, RULE_NETWORK };

struct route {
  uint32_t table, destination;
  uint8_t prefix;
  uint32_t gateway; /* 0: on the link itself */
  uint32_t index;   /* of the interface; 0 with no gateway: unreachable */
  uint32_t metric;
};

int route_add(int route, const struct route *wanted);
int route_delete(int route, const struct route *wanted);
struct rule {
  uint32_t priority, table;
  const char *interface; /* what comes in here */
  uint32_t source;       /* from these addresses */
  uint8_t prefix;        /* 0: any */
};
int rule_change(int route, bool add, const struct rule *wanted);
/* Whether packets that come in there are passed on. Through netlink, since /proc/sys can be read-only. */
int link_forwarding(int route, uint32_t index, bool on);
int link_address_delete(int route, uint32_t index, uint32_t address, uint8_t prefix);
/* An interface of the socket's namespace, named, becomes a port of the bridge; or goes. */
int link_move(int route, const char *name, uint32_t bridge);
int link_delete_named(int route, const char *name);
/* Whether the interface asks for neighbours and answers them. */
int link_arp(int route, const char *name, bool on);
/* The bridge it is a port of; 0 for none. */
uint32_t link_master(int route, const char *name);

#endif

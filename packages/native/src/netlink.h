/* Links, addresses and routes of the hub and of containers; and what listens inside a network namespace. */
#ifndef MAYFLY_NETLINK_H
#define MAYFLY_NETLINK_H

#include "base.h"

int route_socket(void);
/* Brings the interface up. */
int link_up(int route, uint32_t index);
/* Brings the interface up as a port of the bridge. */
int link_enslave(int route, const char *name, uint32_t bridge);
int link_address(int route, uint32_t index, uint32_t address, uint8_t prefix);
int link_hardware(int route, uint32_t index, const uint8_t mac[6]);
int link_delete(int route, uint32_t index);
/* A bridge, up; answers its index or -1. */
int bridge_create(int route, const char *name);
/* A pair: `name` in this namespace (up; in `bridge` unless 0), `peer` in the namespace of `peer_namespace`. */
int veth_create(int route, const char *name, uint32_t bridge, const char *peer, int peer_namespace);
/*
 * Waits until an end of a pair, by its name in the socket's namespace, passes packets. Its other end's coming up is told to it, and
 * to its bridge, by a worker of the kernel's (linkwatch), later on a busy machine: what is sent before that is lost. From
 * Linux 6.8 on the question itself has it told.
 */
void link_settle(int route, const char *name);
/* Whether nothing but a default route leads to the address. */
bool address_unrouted(int route, uint32_t address);

struct listener {
  uint8_t family; /* 4 or 6 */
  uint8_t address[16];
  uint16_t port;
  bool v6only; /* takes no IPv4 connections, which a socket of family 6 else does */
};
/* A socket that sees the current network namespace; keep it and ask it later from anywhere. */
int diag_socket(void);
/* Listening TCP sockets; answers how many (at most `max` are stored) or -1. */
int diag_listeners(int diag, struct listener *out, int max);
/* Ends connections that lead elsewhere, both sides learning of it: those with the peer and the port, 0 for all. How many. */
int diag_reset(int diag, uint32_t peer, uint16_t port);

#endif

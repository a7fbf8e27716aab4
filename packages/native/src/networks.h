/* Private networks: bridges of the hub, and containers' interfaces on them. */
#ifndef MAYFLY_NETWORKS_H
#define MAYFLY_NETWORKS_H

#include "run.h"

struct network {
  struct network *next;
  uint32_t id;
  struct connection *conn;
  uint32_t bridge, gateway;
  uint8_t prefix;
  bool internal, foreign; /* foreign: outside of the range that runs take theirs from */
  int table;              /* a foreign one's: what leaves it does so in the hub's name. -1: none */
};

enum { RANGE = 0xC6120000u, RANGE_PREFIX = 15 }; /* every run's addresses (janitor.c) */
enum { NETWORK_INTERNAL = 1, NETWORK_FOREIGN = 2 };

/* The hub's routes: from the host to every network, between networks none, to the outside where it is open. */
int hub_routes(void);
void hub_settings(void);
int network_create(struct connection *c, uint32_t id, struct reader *r, struct failure *f);
int network_delete(struct reader *r, struct failure *f);
int network_connect(struct reader *r, struct failure *f);
int network_disconnect(struct reader *r, struct failure *f);
/* Asks the janitor for a way out; what it answers ends the waiting. */
int outbound_ask(struct connection *c, uint32_t id, struct reader *r, struct failure *f);
void outbound_answered(uint32_t errnum);
/* It has ended: an address that was chosen may be its successor's at once, so its interfaces do not wait for the kernel. */
void networks_left(const struct container *t);
void networks_forget(struct connection *c);
struct network *network_find(uint32_t id);
/* The hub's end of a container's interface. */
void interface_name(char out[16], uint32_t veth, uint8_t number);

#endif

/* Published ports and the pairs of sockets that are copied through them. */
#ifndef MAYFLY_PORTS_H
#define MAYFLY_PORTS_H

#include "run.h"

struct port {
  struct port *next;
  uint32_t id;
  struct connection *conn;
  uint32_t request;
  uint16_t number;
  bool hold, listening, closed, asked; /* asked: the janitor has yet to answer */
  bool udp;
  struct source listeners[2];
  struct container *container;
  uint32_t target;
  uint16_t target_number;
  struct pair *pairs;
  struct flow *flows; /* of datagrams */
};

struct port *port_find(uint32_t id);
void ports_sweep(void);

/* A connection that came in; it is held while the port has no target. */
void pair_open(struct port *p, int client);
void pairs_resume(struct port *p);
/* Ends the pairs that were already copied; with `held` also those that wait. */
void pairs_close(struct port *p, bool held);

/* Datagrams of a port whose listeners are open; without a target they are lost. */
int flows_open(struct port *p);
void flows_close(struct port *p);

#endif

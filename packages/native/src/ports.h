/* Published ports and the pairs of sockets that are copied through them. */
#ifndef MAYFLY_PORTS_H
#define MAYFLY_PORTS_H

#include "run.h"

enum port_place { PLACE_HOST = 1, PLACE_HUB, PLACE_UNIX, PLACE_REACH };

/* Who may connect. */
struct allowed {
  uint32_t address, mask;
};

/* A process that has a socket of ours, and as what. */
struct holder {
  pid_t process;
  int fd;
  bool missed; /* at the last look nobody had it */
};

struct port {
  struct port *next;
  uint32_t id;
  struct connection *conn;
  uint32_t request;
  uint16_t number;
  bool hold, listening, closed, asked; /* asked: the janitor has yet to answer */
  bool udp;
  bool handed;        /* its sockets are the service's own, if that can be */
  uint8_t given;      /* a bit for each of the listeners that is */
  struct holder holders[2]; /* of those, as seen last */
  int spare;          /* unbound, for a service that wants one for both families, or -1 */
  char awaits[80];    /* a container that is still to be made */
  struct source listeners[2];
  struct container *container;
  uint32_t target;
  uint16_t target_number;
  struct pair *pairs;
  struct flow *flows; /* of datagrams */
  enum port_place place;
  char inside[108]; /* the target is this socket of the container's */
  char path[108];   /* PLACE_UNIX: of ours */
  uint8_t family;   /* PLACE_REACH: of `host`, a place outside; 0 for the loopback */
  uint8_t host[16];
  struct allowed *allowed;
  size_t allowed_count;
};

struct port *port_find(uint32_t id);
void ports_sweep(void);
/* The first error of listen(), or 0. Harmless for one that listens. */
int port_listen_now(struct port *p);
/* Listens again when its container's service does. */
void port_await(struct port *p);

/* The janitor's socket for a connection that waits for one. */
void pair_outside(uint32_t id, int fd);
/* A connection that came in; it is held while the port has no target. */
void pair_open(struct port *p, int client);
void pairs_resume(struct port *p);
/* Ends the pairs that were already copied; with `held` also those that wait. */
void pairs_close(struct port *p, bool held);

/* Datagrams of a port whose listeners are open; without a target they are lost. */
int flows_open(struct port *p);
void flows_close(struct port *p);

#endif

/* Listening sockets of the machine, handed to the services that would listen: docs/networks.md, Sockets handed in. */
#ifndef MAYFLY_HANDIN_H
#define MAYFLY_HANDIN_H

#include "ports.h"

/* The listener of a container's notifications has come through `socket`, or not: then its ports are copied. */
void handin_begin(struct container *t, int socket);
/* The container has ended: nobody else may hold its sockets, which refuse connections again. */
void handin_end(struct container *t);
/* Whether others may have the number of a socket, too, while nobody listens: what is accepted inherits it, and keeps the number
 * for a while after its end. */
void handin_share(int fd, bool yes);
/* Nobody in the container has the port's socket any more: it refuses connections, and is to be had again. */
void handin_abandon(struct port *p, int at);
/* Looks, ten times a second while sockets are handed in, whether somebody still has them: a server that ends leaves its
 * clients to nobody, since our own copy keeps the socket open. */
void handin_watch(void);
/* A procfs of this pid namespace, where processes have the numbers that notifications give them; or -1. */
int handin_proc(void);
/* Whether a service of the container listens on a socket that was handed in for this port of its own. */
bool handin_listens(const struct container *t, uint16_t number);

#endif

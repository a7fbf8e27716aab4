/* The name server of each network: sockets on its gateway. */
#ifndef MAYFLY_DNS_H
#define MAYFLY_DNS_H

#include "run.h"

/* The names of a network, and whom to ask about others; the first time, the server is opened. */
int dns_names(struct reader *r, struct failure *f);
/* Ends the server of a network. */
void dns_close(uint32_t network);
/* The socket outside, from the janitor. */
void dns_outside(int fd);

#endif

/* The way out of a run's network, on the host: what leaves is sent in the host's name. */
#ifndef MAYFLY_OUTBOUND_H
#define MAYFLY_OUTBOUND_H

#include "base.h"

/* Whose packets are sent in another's name: what leaves the host from a run, what leaves a run's hub by an interface, or what
 * leaves a network of the hub's by any but its own. */
enum way { WAY_HOST, WAY_HUB, WAY_NETWORK };

/*
 * A table of the kernel's packet filter that is owned by the socket that is answered: it goes when that is closed, by
 * whatever. What comes from the run's addresses is masqueraded, and on the host nothing passes from one run's interface to another's.
 * -1: errno says why (EOPNOTSUPP, ENOENT: the kernel lacks nf_tables; ENETDOWN: the host passes nothing on).
 */
int outbound_open(const char *interface, enum way way, uint32_t subnet, uint8_t prefix);

#endif

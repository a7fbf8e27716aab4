/* The way out of a run's network, on the host: what leaves is sent in the host's name. */
#ifndef MAYFLY_OUTBOUND_H
#define MAYFLY_OUTBOUND_H

#include "base.h"

/*
 * A table of the kernel's packet filter that is owned by the socket that is answered: it goes when that is closed, by
 * whatever. What comes from the run's addresses is masqueraded, and nothing passes from one run's interface to another's.
 * -1: errno says why (EOPNOTSUPP, ENOENT: the kernel lacks nf_tables; ENETDOWN: the host passes nothing on).
 */
int outbound_open(const char *interface, uint32_t subnet, uint8_t prefix);

#endif

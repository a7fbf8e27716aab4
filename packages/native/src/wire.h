/* An interface of a container taken out of its bridge: this program is the wire between both, for as long as faults want it. */
#ifndef MAYFLY_WIRE_H
#define MAYFLY_WIRE_H

#include "run.h"

/* Puts wires where a container with faults has none yet; takes away those of one without. */
int wires_fit(struct container *t, const char **step);
/* What still waits goes on at once: the faults it waited for are others now. */
void wires_flush(struct container *t);
/* The interface is about to go; or, with -1, all of the container's. */
void wires_lost(struct container *t, int number);

#endif

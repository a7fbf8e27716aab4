#ifndef MAYFLY_PROBE_H
#define MAYFLY_PROBE_H

/* Prints what an ordinary user's namespace allows, each in a line `name=yes` or `name=ERRNO`. */
void probe_user(void);

#endif

/* A program of the host that carries an ordinary user's packets out of a run: pasta, slirp4netns. */
#ifndef MAYFLY_RELAY_H
#define MAYFLY_RELAY_H

#include "janitor.h"

/*
 * Starts it, as root of the run's user namespace, in its pid namespace, so that it ends with the run, and in the network
 * outside. `words`: each with its NUL, an empty one at the end; one that is `@` is made the path of the hub's namespace. Answers a descriptor that tells one byte when the program
 * has written to its descriptor 3 or ended with 0, and its end when it has done neither; or -1.
 */
int relay_start(const struct janitor *j, const char *words);

#endif

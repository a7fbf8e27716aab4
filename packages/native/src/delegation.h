/* cgroup v2: a directory in which this run may make cgroups, found or asked for. */
#ifndef MAYFLY_DELEGATION_H
#define MAYFLY_DELEGATION_H

#include <stdbool.h>
#include <stddef.h>

/* Processes that were in the way, ours too, live here: a cgroup with controllers for its children has none itself. */
#define DELEGATION_LEAF "mayfly-leaf"

/* Puts into `parent` the directory, with controllers enabled for its children, and answers an open, locked descriptor
 * of it: nobody else's run comes or goes there before it is closed. -1 where there is none. */
int delegation_find(const char *mount, const char *run_name, char *parent, size_t size);
/* The run is over: whoever lives in the leaf moves back when no other run is left. */
void delegation_leave(const char *parent);

#endif

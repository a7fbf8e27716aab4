/* User namespaces: an ordinary user becomes root of one, with the ids that the machine lends to that user. */
#ifndef MAYFLY_USERNS_H
#define MAYFLY_USERNS_H

#include <stdbool.h>
#include <sys/types.h>

/* Extents "inside:outside:count", comma separated; both empty: no namespace of our own. */
struct id_map {
  const char *uids, *gids;
};

bool id_map_given(const struct id_map *m);
/* Writes the maps of `pid`'s new namespace, from the one around it; a word in `step` names what failed. */
int userns_map(pid_t pid, const struct id_map *m, const char **step);
/* This process, single-threaded, enters a new namespace and becomes its root. */
int userns_enter(const struct id_map *m, const char **step);
/* Takes the ids of the namespace's root; its maps must be written. */
int userns_become_root(void);
/* A process of its own, in the namespace `fd` refers to, does `work`; 0 when it was done. `fd` -1: here. */
int userns_do(int fd, int (*work)(const char *), const char *argument);
/* Whether userns_enter was called in this process. */
bool userns_entered(void);

#endif

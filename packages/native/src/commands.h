/* The short-lived commands; each is given its own arguments, argv[0] being its word. */
#ifndef MAYFLY_COMMANDS_H
#define MAYFLY_COMMANDS_H

#include <stdbool.h>

int cmd_untar(int argc, char **argv);
int cmd_tar(int argc, char **argv);
int cmd_lock(int argc, char **argv);
int cmd_locks(int argc, char **argv);
int cmd_idle(int argc, char **argv);
int cmd_gc(int argc, char **argv);
int cmd_probe(int argc, char **argv);
int cmd_remove(int argc, char **argv);
int cmd_settle(int argc, char **argv);
int cmd_sync(int argc, char **argv);
int cmd_copy(int argc, char **argv);
/* Pid 1 of a container that asked for one: forwards signals to the process named, reaps, ends as it does. */
int cmd_init(int argc, char **argv);

/* Executes this program again from a sealed copy in memory; once that is so, answers a descriptor of it. -1 where the
 * kernel does not let us. */
int seal_self(char **argv, char **env);

/* Whether a locked file still has its name: a collector takes locks that nobody holds away, and who waited for one of those
 * has a lock on nothing. */
bool lock_named(int fd, int parent, const char *name);
/* Finishes what dead runs left: their cgroups and directories. `except_id` may be NULL. */
int gc_runs(const char *runs_dir, const char *except_id);
/* Deletes a file or a whole directory, never following a link; 0, or -1 when something is left. */
int remove_tree(int parent, const char *name);

#endif

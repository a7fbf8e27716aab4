/* Places where a test kills one of us: STEP(role) is nothing at all unless built by `build.mjs --inject`. */
#ifndef MAYFLY_INJECT_H
#define MAYFLY_INJECT_H

enum inject_role { INJECT_JANITOR, INJECT_SUPERVISOR, INJECT_START, INJECT_EXEC, INJECT_ROLES };

#ifdef MAYFLY_INJECT
#include <sys/types.h>

/* Counts a step of the role; at the chosen one it tells the test and waits for its word. */
void inject_step(enum inject_role role);
void inject_pids(pid_t janitor, pid_t supervisor);
int cmd_own(int argc, char **argv);

#define STEP(role) inject_step(role)
#define INJECT_PIDS(janitor, supervisor) inject_pids(janitor, supervisor)
#else
#define STEP(role) ((void)0)
#define INJECT_PIDS(janitor, supervisor) ((void)0)
#endif

#endif

#ifndef MAYFLY_JANITOR_H
#define MAYFLY_JANITOR_H

#include "cgroup.h"

struct janitor {
  pid_t supervisor;
  int supervisor_pidfd, owner_pidfd, socket;
  int userns; /* the supervisor's user namespace; -1 for root, who needs none */
  int pid_ns, hub_ns; /* with a user namespace: the supervisor's others */
  const char *dir, *socket_path;
  struct cgroups cgroups;
};

_Noreturn void janitor_main(struct janitor *j);

#endif

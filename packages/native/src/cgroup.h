/* cgroups, whichever hierarchies the machine has: v1 and hybrid (one directory per controller), or v2 (one). */
#ifndef MAYFLY_CGROUP_H
#define MAYFLY_CGROUP_H

#include "base.h"
#include "sys.h"

enum { MAX_HIERARCHIES = 16 };

struct hierarchy {
  char controllers[64]; /* as mounted, "cpu" or "cpu,cpuacct"; "" for v2 */
  char parent[512];     /* the directory in which the run's own is made */
  int run_fd;           /* the run's directory */
};

struct cgroups {
  size_t count;
  int lock_fd;          /* v2, until the run's directory is made: its parent, locked */
  bool into;            /* v2: children are cloned into their cgroup and never migrate */
  const char *version;  /* "v1", "hybrid", "v2" or "none" */
  char available[256];  /* controllers that can be limited, comma separated */
  char run_name[80];
  struct hierarchy list[MAX_HIERARCHIES];
};

/* Finds where this process may make cgroups, on v2 asking systemd for a place if need be. Never fails: a machine
 * without is count 0. */
void cgroups_discover(struct cgroups *g, const char *run_id);
/* Writes the directories' paths, line by line, for whoever must remove them after our death. */
int cgroups_record(const struct cgroups *g, int run_dir_fd);
int cgroups_create_run(struct cgroups *g);
/* Whether it is gone; false while containers' directories are in it. */
bool cgroups_remove_run(const struct cgroups *g);

/* One container: fds[i] for each hierarchy; all -1 where nothing was made. */
int cgroups_create(const struct cgroups *g, const char *name, int *fds, struct failure *f);
/* 0 when nothing is left, -1 with EBUSY while processes are. */
int cgroups_remove(const struct cgroups *g, const char *name, int *fds);
/* clone3, on v2 straight into the container's cgroup. */
pid_t cgroups_clone(struct cgroups *g, const int *fds, struct clone3_args *args);
/* Kills whatever is in there, also processes no pid namespace takes along. */
void cgroups_kill(const struct cgroups *g, const int *fds);
/* The calling process, where the clone did not put it there already. */
int cgroups_join(const struct cgroups *g, const int *fds, struct failure *f);
int cgroups_write(const struct cgroups *g, const int *fds, const char *controller, const char *file, const char *value,
                  struct failure *f);
ssize_t cgroups_read(const struct cgroups *g, const int *fds, const char *controller, const char *file, char *out,
                     size_t size, struct failure *f);
/* Kills whatever is in there, where it may fork meanwhile, or be frozen. */
void cgroups_end(const struct cgroups *g, const int *fds);
void cgroups_thaw(const struct cgroups *g, const int *fds);
/* Every container of the run: their pid namespace's end waits for frozen processes for ever. */
void cgroups_thaw_all(const struct cgroups *g);
/* Those of the files that not every kernel has, comma separated. */
void cgroups_files(const struct cgroups *g, char *out, size_t size);
int64_t cgroups_oom_kills(const struct cgroups *g, const int *fds);

#endif

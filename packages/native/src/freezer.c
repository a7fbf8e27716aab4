/* Frozen processes do not die on cgroup v1 until they thaw, and without a pid namespace of its own a container's
 * processes are found by its cgroup alone. */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cgroup.h"

enum { ROUNDS = 4 };

static int freezer_of(const struct cgroups *g, const int *fds) {
  for (size_t i = 0; i < g->count; i++)
    if (strstr(g->list[i].controllers, "freezer")) return fds[i];
  return -1;
}

void cgroups_thaw(const struct cgroups *g, const int *fds) {
  int dir = freezer_of(g, fds);
  if (dir >= 0) (void)write_file_at(dir, "freezer.state", "THAWED");
}

void cgroups_thaw_all(const struct cgroups *g) {
  for (size_t i = 0; i < g->count; i++) {
    if (!strstr(g->list[i].controllers, "freezer")) continue;
    int fd = openat(g->list[i].run_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    for (struct dirent *e; dir && (e = readdir(dir));) {
      int group = e->d_type == DT_DIR && e->d_name[0] != '.' ? openat(fd, e->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
      if (group < 0) continue;
      (void)write_file_at(group, "freezer.state", "THAWED");
      close(group);
    }
    if (dir) closedir(dir);
  }
}

void cgroups_end(const struct cgroups *g, const int *fds) {
  int freezer = freezer_of(g, fds);
  /* v1 kills one by one, and who is frozen cannot fork meanwhile. */
  if (freezer >= 0) (void)write_file_at(freezer, "freezer.state", "FROZEN");
  cgroups_kill(g, fds);
  if (freezer < 0) return;
  for (int i = 1; i < ROUNDS; i++) cgroups_kill(g, fds);
  cgroups_thaw(g, fds);
}

#include "cgroup.h"
#include "delegation.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool has_word(const char *list, const char *word) {
  size_t n = strlen(word);
  for (const char *p = list; *p; p += strcspn(p, ", \n"), p += *p ? 1 : 0)
    if (strcspn(p, ", \n") == n && !strncmp(p, word, n)) return true;
  return false;
}

static void append_word(char *list, size_t size, const char *word) {
  size_t n = strlen(list);
  snprintf(list + n, size - n, "%s%s", n ? "," : "", word);
}

/* The process's own place in a hierarchy, as /proc/self/cgroup tells it; "/" when it does not. */
static void own_path(const char *table, const char *controllers, char *out, size_t size) {
  snprintf(out, size, "/");
  for (const char *line = table; *line; line += strcspn(line, "\n"), line += *line ? 1 : 0) {
    const char *names = strchr(line, ':');
    const char *path = names ? strchr(names + 1, ':') : NULL;
    if (!path) continue;
    size_t n = (size_t)(path - names - 1);
    if (n == strlen(controllers) && !strncmp(names + 1, controllers, n))
      snprintf(out, size, "%.*s", (int)strcspn(path + 1, "\n"), path + 1);
  }
}

static void place(struct hierarchy *h, const char *mount, const char *own) {
  int n = snprintf(h->parent, sizeof h->parent, "%s%s", mount, strcmp(own, "/") ? own : "");
  /* In a container the path of /proc/self/cgroup may lie above what is mounted. */
  if (n >= (int)sizeof h->parent || access(h->parent, W_OK)) snprintf(h->parent, sizeof h->parent, "%s", mount);
}

static bool is_controller(const char *options, char *out, size_t size) {
  static const char *const known[] = {"cpu", "cpuacct", "cpuset", "memory", "pids", "blkio", "freezer", "devices"};
  out[0] = 0;
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (has_word(options, known[i])) append_word(out, size, known[i]);
  return out[0] != 0;
}

void cgroups_discover(struct cgroups *g, const char *run_id) {
  *g = (struct cgroups){.version = "none", .lock_fd = -1};
  snprintf(g->run_name, sizeof g->run_name, "mayfly-%s", run_id);
  FILE *mounts = fopen("/proc/self/mounts", "re");
  char *table = xalloc(16384);
  int proc = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (proc < 0 || read_file_at(proc, "cgroup", table, 16384) < 0) table[0] = 0;
  if (proc >= 0) close(proc);
  char line[4096], unified[512] = "";
  while (mounts && fgets(line, sizeof line, mounts)) {
    char type[64], point[512], options[1024];
    if (sscanf(line, "%*s %511s %63s %1023s", point, type, options) != 3) continue;
    if (!strcmp(type, "cgroup2")) snprintf(unified, sizeof unified, "%s", point);
    if (strcmp(type, "cgroup") || g->count == MAX_HIERARCHIES) continue;
    struct hierarchy *h = &g->list[g->count];
    if (!is_controller(options, h->controllers, sizeof h->controllers)) continue;
    char own[512];
    own_path(table, h->controllers, own, sizeof own);
    place(h, point, own);
    if (access(h->parent, W_OK)) continue;
    append_word(g->available, sizeof g->available, h->controllers);
    g->count++;
  }
  if (mounts) fclose(mounts);
  if (g->count) g->version = *unified ? "hybrid" : "v1";
  else if (*unified) {
    g->lock_fd = delegation_find(unified, g->run_name, g->list[0].parent, sizeof g->list[0].parent);
    g->into = g->lock_fd >= 0 && !switched_off("clone_into_cgroup");
    if (g->lock_fd >= 0) g->version = "v2", g->count = 1;
  }
  for (size_t i = 0; i < g->count; i++) g->list[i].run_fd = -1;
  free(table);
}

int cgroups_record(const struct cgroups *g, int run_dir_fd) {
  int fd = openat(run_dir_fd, "cgroups", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return -1;
  int result = 0;
  for (size_t i = 0; i < g->count && !result; i++) {
    char line[700];
    int n = snprintf(line, sizeof line, "%s/%s\n", g->list[i].parent, g->run_name);
    result = write_all(fd, line, (size_t)n);
  }
  close(fd);
  return result;
}

/* v1 cpuset: a new group has no processors until told, and its children copy only with clone_children. */
static void prepare_cpuset(int parent, int fd) {
  char value[4096];
  if (read_file_at(parent, "cpuset.cpus", value, sizeof value) > 0) (void)write_file_at(fd, "cpuset.cpus", value);
  if (read_file_at(parent, "cpuset.mems", value, sizeof value) > 0) (void)write_file_at(fd, "cpuset.mems", value);
  (void)write_file_at(fd, "cgroup.clone_children", "1");
}

/* Only what the containers' directories will really have counts as available. */
static void prepare_v2(struct cgroups *g, int fd) {
  char list[256];
  if (read_file_at(fd, "cgroup.controllers", list, sizeof list) < 0) return;
  for (char *word = strtok(list, " \n"); word; word = strtok(NULL, " \n")) {
    char enable[64];
    snprintf(enable, sizeof enable, "+%s", word);
    if (!write_file_at(fd, "cgroup.subtree_control", enable)) append_word(g->available, sizeof g->available, word);
  }
}

int cgroups_create_run(struct cgroups *g) {
  for (size_t i = 0; i < g->count; i++) {
    struct hierarchy *h = &g->list[i];
    int parent = open(h->parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0) return -1;
    if (mkdirat(parent, g->run_name, 0755) && errno != EEXIST) return -1;
    h->run_fd = openat(parent, g->run_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (h->run_fd < 0) return -1;
    if (has_word(h->controllers, "cpuset")) prepare_cpuset(parent, h->run_fd);
    if (has_word(h->controllers, "memory")) (void)write_file_at(h->run_fd, "memory.use_hierarchy", "1");
    if (!h->controllers[0]) prepare_v2(g, h->run_fd);
    close(parent);
  }
  if (g->lock_fd >= 0) close(g->lock_fd);
  g->lock_fd = -1;
  return 0;
}

bool cgroups_remove_run(const struct cgroups *g) {
  bool gone = true;
  for (size_t i = 0; i < g->count; i++) {
    char path[700];
    snprintf(path, sizeof path, "%s/%s", g->list[i].parent, g->run_name);
    if (rmdir(path) && errno != ENOENT) gone = false;
    else if (!g->list[i].controllers[0]) delegation_leave(g->list[i].parent);
  }
  return gone;
}

int cgroups_create(const struct cgroups *g, const char *name, int *fds, struct failure *f) {
  for (size_t i = 0; i < MAX_HIERARCHIES; i++) fds[i] = -1;
  for (size_t i = 0; i < g->count; i++) {
    int run = g->list[i].run_fd;
    if (mkdirat(run, name, 0755) && errno != EEXIST) return fail(f, "cgroup", g->list[i].controllers, "mkdir");
    fds[i] = openat(run, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fds[i] < 0) return fail(f, "cgroup", g->list[i].controllers, "open");
  }
  return 0;
}

int cgroups_remove(const struct cgroups *g, const char *name, int *fds) {
  int result = 0;
  for (size_t i = 0; i < g->count; i++) {
    if (fds[i] >= 0) close(fds[i]);
    fds[i] = -1;
    if (unlinkat(g->list[i].run_fd, name, AT_REMOVEDIR) && errno != ENOENT) result = -1;
  }
  return result;
}

pid_t cgroups_clone(struct cgroups *g, const int *fds, struct clone3_args *args) {
  if (!g->into || fds[0] < 0) return sys_clone3(args);
  args->flags |= CLONE_INTO_CGROUP;
  args->cgroup = (uint64_t)fds[0];
  pid_t pid = sys_clone3(args);
  /* Since 5.7. Who may not (EACCES), could not migrate either, and is told by the child's join. */
  if (pid >= 0 || (errno != EINVAL && errno != E2BIG && errno != EACCES)) return pid;
  g->into = false;
  args->flags &= ~CLONE_INTO_CGROUP;
  args->cgroup = 0;
  return sys_clone3(args);
}

static void kill_each(int fd) {
  char *pids = xalloc(65536);
  if (read_file_at(fd, "cgroup.procs", pids, 65536) > 0)
    for (char *pid = strtok(pids, "\n"); pid; pid = strtok(NULL, "\n"))
      if (strtol(pid, NULL, 10) > 1) (void)kill((pid_t)strtol(pid, NULL, 10), SIGKILL);
  free(pids);
}

void cgroups_kill(const struct cgroups *g, const int *fds) {
  if (!g->count || fds[0] < 0) return;
  /* Since 5.14; before, and on v1, one by one, which a forking process may outrun: whoever waits calls again. */
  if (g->list[0].controllers[0] || switched_off("cgroup_kill") || write_file_at(fds[0], "cgroup.kill", "1")) kill_each(fds[0]);
}

/* By its only thread: v1's `tasks` moves the thread that writes without the lock on all thread groups, which since Linux
 * 5.6 only cgroup.procs takes, and which costs an RCU grace period (10 to 25 ms) on a machine where nobody has just had it. */
static int join(int directory) {
  if (!write_file_at(directory, "tasks", "0")) return 0;
  return errno == ENOENT ? write_file_at(directory, "cgroup.procs", "0") : -1;
}

int cgroups_join(const struct cgroups *g, const int *fds, struct failure *f) {
  for (size_t i = 0; i < g->count && !g->into; i++)
    if (fds[i] >= 0 && join(fds[i])) return fail(f, "cgroup", g->list[i].controllers, "join");
  return 0;
}

static int directory_for(const struct cgroups *g, const int *fds, const char *controller, const char *file,
                         struct failure *f) {
  if (*file == 0 || strchr(file, '/')) return fail_with(f, EINVAL, "cgroup", file, "name");
  for (size_t i = 0; i < g->count; i++) {
    const char *have = g->list[i].controllers;
    if (fds[i] >= 0 && (!have[0] || has_word(have, controller))) return fds[i];
  }
  return fail_with(f, ENODEV, "cgroup", controller, "no such controller");
}

int cgroups_write(const struct cgroups *g, const int *fds, const char *controller, const char *file, const char *value,
                  struct failure *f) {
  int dir = directory_for(g, fds, controller, file, f);
  if (dir < 0) return -1;
  return write_file_at(dir, file, value) ? fail(f, "cgroup", file, value) : 0;
}

ssize_t cgroups_read(const struct cgroups *g, const int *fds, const char *controller, const char *file, char *out,
                     size_t size, struct failure *f) {
  int dir = directory_for(g, fds, controller, file, f);
  if (dir < 0) return -1;
  ssize_t n = read_file_at(dir, file, out, size);
  return n < 0 ? fail(f, "cgroup", file, "read") : n;
}

void cgroups_files(const struct cgroups *g, char *out, size_t size) {
  static const char *const candidates[] = {"memory.memsw.limit_in_bytes", "memory.swap.max", "memory.peak", "blkio.weight",
                                           "blkio.bfq.weight", "io.weight", "io.bfq.weight"};
  *out = 0;
  for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++)
    for (size_t h = 0; h < g->count; h++)
      if (g->list[h].run_fd >= 0 && !faccessat(g->list[h].run_fd, candidates[i], F_OK, 0)) {
        append_word(out, size, candidates[i]);
        break;
      }
}

int64_t cgroups_oom_kills(const struct cgroups *g, const int *fds) {
  struct failure f;
  char text[1024];
  bool v2 = !strcmp(g->version, "v2");
  const char *file = v2 ? "memory.events" : "memory.oom_control";
  if (cgroups_read(g, fds, "memory", file, text, sizeof text, &f) < 0) return 0;
  const char *at = strstr(text, "oom_kill ");
  return at ? strtol(at + 9, NULL, 10) : 0;
}

#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
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
  snprintf(h->parent, sizeof h->parent, "%s%s", mount, strcmp(own, "/") ? own : "");
  /* In a container the path of /proc/self/cgroup may lie above what is mounted. */
  if (access(h->parent, W_OK)) snprintf(h->parent, sizeof h->parent, "%s", mount);
}

static bool is_controller(const char *options, char *out, size_t size) {
  static const char *const known[] = {"cpu", "cpuacct", "cpuset", "memory", "pids", "blkio", "freezer", "devices"};
  out[0] = 0;
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (has_word(options, known[i])) append_word(out, size, known[i]);
  return out[0] != 0;
}

static void discover_v2(struct cgroups *g, const char *mount, const char *table) {
  struct hierarchy *h = &g->list[g->count];
  char own[512], controllers[256];
  own_path(table, "", own, sizeof own);
  place(h, mount, "/");
  if (access(h->parent, W_OK)) place(h, mount, own);
  int dir = open(h->parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (dir < 0) return;
  if (read_file_at(dir, "cgroup.controllers", controllers, sizeof controllers) > 0) {
    static const char *const wanted[] = {"memory", "cpu", "pids", "cpuset", "io"};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
      char enable[16];
      snprintf(enable, sizeof enable, "+%s", wanted[i]);
      if (has_word(controllers, wanted[i]) && !write_file_at(dir, "cgroup.subtree_control", enable))
        append_word(g->available, sizeof g->available, wanted[i]);
    }
  }
  close(dir);
  g->count++;
}

void cgroups_discover(struct cgroups *g, const char *run_id) {
  *g = (struct cgroups){.version = "none"};
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
  else if (*unified && !access(unified, W_OK)) {
    discover_v2(g, unified, table);
    g->version = "v2";
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
    if (!h->controllers[0])
      for (const char *p = g->available; *p; p += strcspn(p, ","), p += *p ? 1 : 0) {
        char enable[24] = "+";
        size_t n = strcspn(p, ",");
        if (n + 1 < sizeof enable) memcpy(enable + 1, p, n);
        (void)write_file_at(h->run_fd, "cgroup.subtree_control", enable);
      }
    close(parent);
  }
  return 0;
}

void cgroups_remove_run(const struct cgroups *g) {
  for (size_t i = 0; i < g->count; i++) {
    char path[700];
    snprintf(path, sizeof path, "%s/%s", g->list[i].parent, g->run_name);
    (void)rmdir(path);
  }
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

int cgroups_join(const struct cgroups *g, const int *fds, struct failure *f) {
  for (size_t i = 0; i < g->count; i++)
    if (fds[i] >= 0 && write_file_at(fds[i], "cgroup.procs", "0"))
      return fail(f, "cgroup", g->list[i].controllers, "join");
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

bool cgroups_oom_killed(const struct cgroups *g, const int *fds) {
  struct failure f;
  char text[1024];
  bool v2 = !strcmp(g->version, "v2");
  const char *file = v2 ? "memory.events" : "memory.oom_control";
  if (cgroups_read(g, fds, "memory", file, text, sizeof text, &f) < 0) return false;
  const char *at = strstr(text, "oom_kill ");
  return at && strtol(at + 9, NULL, 10) > 0;
}

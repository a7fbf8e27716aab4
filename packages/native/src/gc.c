#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base.h"
#include "commands.h"

enum { CGROUP_TRIES = 50, BEGINNING_S = 5 };

/* Groups of containers lie in the run's group: from the inside out. */
static bool remove_group(int parent, const char *name) {
  int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  DIR *dir = fd < 0 ? NULL : fdopendir(fd);
  if (dir == NULL) return errno == ENOENT;
  (void)write_file_at(fd, "freezer.state", "THAWED"); /* what is frozen does not die */
  for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
    if (entry->d_type == DT_DIR && entry->d_name[0] != '.') (void)remove_group(fd, entry->d_name);
  }
  closedir(dir);
  return unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno != EBUSY;
}

/* A dead run's groups are busy until its last process is reaped. */
static void remove_cgroup(const char *path) {
  if (strncmp(path, "/sys/fs/cgroup/", 15) != 0 || strstr(path, "/../") != NULL) return;
  for (int i = 0; i < CGROUP_TRIES && !remove_group(AT_FDCWD, path); i++) {
    nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
  }
}

/* The last line first: directories are listed as they were made, so children come after their parents. */
static void remove_cgroups(int run) {
  static char text[65536];
  if (read_file_at(run, "cgroups", text, sizeof text) <= 0) return;
  size_t length = strlen(text);
  while (length > 0) {
    if (text[length - 1] == '\n') text[--length] = '\0';
    char *line = memrchr(text, '\n', length);
    line = line == NULL ? text : line + 1;
    if (*line) remove_cgroup(line);
    length = (size_t)(line - text);
  }
}

static void remove_socket(int run) {
  char path[512];
  ssize_t n = readlinkat(run, "socket", path, sizeof path - 1);
  struct stat st;
  if (n <= 0) return;
  path[n] = 0;
  if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) && st.st_uid == geteuid()) (void)unlink(path);
  if ((size_t)n + 3 > sizeof path) return;
  memcpy(path + n, ".d", 3); /* those of its containers that were asked for */
  if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid()) (void)remove_tree(AT_FDCWD, path);
}

/* The lock of a run whose owner is gone, held; -1 when it lives, has none, or was replaced meanwhile. */
static int take_lock(int run) {
  int fd = openat(run, "lock", O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return -1;
  struct stat held, named;
  if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &held) == 0 &&
      fstatat(run, "lock", &named, AT_SYMLINK_NOFOLLOW) == 0 && held.st_ino == named.st_ino &&
      held.st_dev == named.st_dev) {
    return fd;
  }
  close(fd);
  return -1;
}

/* Made by somebody who died before it was a run: a start takes its lock within milliseconds. */
static bool never_began(int run) {
  struct stat st;
  return faccessat(run, "lock", F_OK, 0) != 0 && errno == ENOENT && fstat(run, &st) == 0 && time(NULL) - st.st_mtime > BEGINNING_S;
}

static int finish_run(int runs, int trash, const char *id) {
  int run = openat(runs, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (run < 0) return 0;
  int lock = take_lock(run), result = 0;
  if (lock >= 0 || never_began(run)) {
    remove_cgroups(run);
    remove_socket(run);
    char name[300];
    snprintf(name, sizeof name, "%s.%d", id, (int)getpid());
    if (renameat(runs, id, trash, name) == 0) result = remove_tree(trash, name);
    else result = errno == ENOENT ? 0 : -1;
    if (lock >= 0) close(lock);
  }
  close(run);
  return result;
}

int gc_runs(const char *runs_dir, const char *except_id) {
  int runs = open(runs_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (runs < 0) return errno == ENOENT ? 0 : -1;
  int result = 0, trash = -1;
  if (mkdirat(runs, "../trash", 0700) == 0 || errno == EEXIST) {
    trash = openat(runs, "../trash", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  }
  DIR *dir = trash < 0 ? NULL : fdopendir(dup(runs));
  if (dir == NULL) result = -1;
  for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
    if (entry->d_name[0] == '.' || (except_id != NULL && strcmp(entry->d_name, except_id) == 0)) continue;
    if (finish_run(runs, trash, entry->d_name) < 0) result = -1;
  }
  int kept = errno;
  if (dir != NULL) closedir(dir);
  if (trash >= 0) close(trash);
  close(runs);
  errno = kept;
  return result;
}

int cmd_gc(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: gc RUNS-DIR\n");
    return 2;
  }
  if (gc_runs(argv[1], NULL) == 0) return 0;
  fprintf(stderr, "gc %s: %s\n", argv[1], errno_name(errno));
  return 1;
}

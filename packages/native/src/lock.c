#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base.h"
#include "commands.h"

static int trouble(const char *step, const char *path) {
  fprintf(stderr, "lock %s: %s: %s\n", path, step, errno_name(errno));
  return 1;
}

bool lock_named(int fd, int parent, const char *name) {
  struct stat held, named;
  return fstat(fd, &held) == 0 && fstatat(parent, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
         held.st_ino == named.st_ino && held.st_dev == named.st_dev;
}

int cmd_lock(int argc, char **argv) {
  bool shared = argc == 3 && strcmp(argv[2], "shared") == 0;
  if (argc != 2 && !shared) {
    fprintf(stderr, "usage: lock FILE [shared]\n");
    return 2;
  }
  for (;;) {
    int fd = open(argv[1], O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return trouble("open", argv[1]);
    while (flock(fd, shared ? LOCK_SH : LOCK_EX) < 0) {
      if (errno != EINTR) return trouble("flock", argv[1]);
    }
    if (lock_named(fd, AT_FDCWD, argv[1])) break;
    close(fd);
  }
  if (write_all(1, "locked\n", 7) < 0) return trouble("write", argv[1]);
  char sink[256];
  for (;;) {
    ssize_t got = read(0, sink, sizeof sink);
    if (got == 0) return 0;
    if (got < 0 && errno != EINTR) return trouble("read", argv[1]);
  }
}

/* The descriptor of a lock that nobody held and that is held now; -1 when somebody holds it. */
static int take(int dir, const char *name) {
  int fd = openat(dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) return -1;
  if (flock(fd, LOCK_EX | LOCK_NB) == 0 && lock_named(fd, dir, name)) return fd;
  close(fd);
  return -1;
}

/* What a dead holder was making lies under its lock's name, and is moved away while the lock is held. */
int cmd_idle(int argc, char **argv) {
  if (argc != 2 && argc != 4) {
    fprintf(stderr, "usage: idle LOCKS-DIR [WORK-DIR TRASH-DIR]\n");
    return 2;
  }
  int locks = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int work = argc == 4 ? open(argv[2], O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
  int trash = argc == 4 ? open(argv[3], O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
  DIR *dir = locks < 0 ? NULL : fdopendir(locks);
  int result = 0;
  if (dir == NULL || (argc == 4 && (work < 0 || trash < 0))) result = trouble("open", argv[1]);
  if (result != 0) goto done;
  for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
    if (entry->d_name[0] == '.') continue;
    int fd = take(locks, entry->d_name);
    if (fd < 0) continue;
    char name[300];
    snprintf(name, sizeof name, "%s.%d", entry->d_name, (int)getpid());
    if (work >= 0 && renameat(work, entry->d_name, trash, name) < 0 && errno != ENOENT) result = trouble("rename", entry->d_name);
    else if (unlinkat(locks, entry->d_name, 0) < 0) result = trouble("unlink", entry->d_name);
    close(fd);
  }
done:
  if (dir != NULL) closedir(dir);
  else if (locks >= 0) close(locks);
  if (work >= 0) close(work);
  if (trash >= 0) close(trash);
  return result;
}

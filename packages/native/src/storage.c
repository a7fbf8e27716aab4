/* Fills a container's writable layer, for tests of what it does when nothing fits any more. */
#include "storage.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* One allocation goes on for as long as it takes, and everybody waits: 8 GiB are some seconds. */
enum { MOST_GIB = 8 };

void storage_release(struct container *t) {
  if (t->filler_open) close(t->filler);
  t->filler_open = false;
}

/* Nobody sees the file: it has no name, and lives as long as its descriptor. Standing in the container's file system. */
static int occupy(uint64_t leave, const char **step) {
  static const char name[] = "/.mayfly-full";
  *step = "open";
  int fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return -1;
  int result = unlink(name);
  struct statvfs s;
  *step = "statvfs";
  if (!result) result = fstatvfs(fd, &s);
  uint64_t available = result ? 0 : (uint64_t)s.f_bavail * s.f_frsize, most = (uint64_t)MOST_GIB << 30;
  *step = "fallocate";
  if (!result && available > leave) {
    uint64_t taken = available - leave;
    if (taken > most) errno = EFBIG, result = -1;
    else result = fallocate(fd, 0, 0, (off_t)taken);
    /* What the file itself takes is counted, too: the rest by and by. */
    for (uint64_t less = 4096; result && errno == ENOSPC && less < taken && less <= 1u << 20; less *= 2) result = fallocate(fd, 0, 0, (off_t)(taken - less));
  }
  if (!result) return fd;
  int saved = errno;
  close(fd);
  errno = saved;
  return -1;
}

int storage_fill(struct reader *r, struct failure *f) {
  char id[80];
  get_str(r, id, sizeof id);
  uint64_t leave = get_u64(r);
  if (r->bad) return fail_with(f, EBADMSG, "fill", "", "decode");
  struct container *t = container_find(id);
  if (!t) return fail_with(f, ENOENT, "fill", id, "no such container");
  storage_release(t);
  if (leave == UINT64_MAX) return 0;
  if (!t->main || t->main->exit.fd < 0 || setns(t->main->exit.fd, CLONE_NEWNS)) return fail_with(f, ESRCH, "fill", id, "not running");
  const char *step;
  int fd = occupy(leave, &step), saved = errno;
  if (setns(run.mount_ns, CLONE_NEWNS)) _exit(71);
  if (fd < 0) return fail_with(f, saved, "fill", id, step);
  t->filler = fd;
  t->filler_open = true;
  return 0;
}

/* How copies begin: as the last operation of an exec that stands in a container's mounts, or as a command on this machine. */
#include "copyfiles.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ops.h"
#include "sys.h"

enum { ATTEMPTS = 1000, ROOT = 3 };

void copy_failed(const char *path, const char *step) {
  char text[4400];
  int n = snprintf(text, sizeof text, "%s\t%s\t%.4096s", errno_name(errno), step, path);
  if (n > 0) (void)write_all(2, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

int copy_open(int root, const char *path, uint64_t flags) {
  int fd = -1;
  for (int i = 0; fd < 0 && i < ATTEMPTS; i++) {
    fd = sys_openat2(root, path, flags | O_CLOEXEC, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
    if (fd < 0 && errno != EAGAIN && errno != EINTR) break;
  }
  return fd;
}

/* In the container's mounts, and in nothing else of it: its processes neither see this one nor stop it. */
int op_files(struct child *c) {
  if (c->mounts_fd < 0) return fail_with(&c->failure, ESRCH, "files", "", "no mounts");
  if (setns(c->mounts_fd, CLONE_NEWNS)) return fail(&c->failure, "files", "", "setns");
  c->root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  return c->root_fd < 0 ? fail(&c->failure, "files", "/", "open") : 0;
}

/* Nothing of the supervisor's stays open that a path of the container's could lead to; its end tells that the copy begins. */
static int begin(struct child *c, const char *operation) {
  if (c->root_fd < 0) return fail_with(&c->failure, EBADF, operation, "", "no root");
  if (dup2(c->root_fd, ROOT) < 0) return fail(&c->failure, operation, "", "dup2");
  umask(0);
  return sys_close_range(ROOT + 1, ~0u, 0) ? fail(&c->failure, operation, "", "close_range") : 0;
}

int op_copy_out(struct child *c, struct reader *r) {
  char *source = get_str_dup(r);
  uint32_t flags = get_u32(r);
  if (r->bad) return 0;
  if (begin(c, "copy.out")) return -1;
  copy_out(ROOT, source, flags);
}

int op_copy_in(struct child *c, struct reader *r) {
  char *target = get_str_dup(r);
  struct copy_in how = {.target = target, .flags = get_u32(r) & ~(uint32_t)COPY_HOST};
  how.uid = get_u32(r);
  how.gid = get_u32(r);
  how.mode = get_u32(r);
  if (r->bad) return 0;
  if (begin(c, "copy.in")) return -1;
  copy_in(ROOT, &how);
}

/* On this machine, as the caller. */
int cmd_copy(int argc, char **argv) {
  bool into = argc > 0 && !strcmp(argv[0], "copy-in");
  struct copy_in how = {.flags = COPY_HOST | COPY_RESOURCE, .uid = ~0u, .gid = ~0u, .mode = COPY_NO_MODE};
  uint32_t flags = 0;
  for (int i = 1; i < argc; i++) {
    if (into && !strcmp(argv[i], "--parents")) how.flags |= COPY_PARENTS;
    else if (into && !strcmp(argv[i], "--owners")) how.flags |= COPY_OWNERS;
    else if (!into && !strcmp(argv[i], "--follow")) flags |= COPY_FOLLOW;
    else if (!how.target && argv[i][0] == '/') how.target = argv[i];
    else how.target = NULL, i = argc;
  }
  int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (!how.target || root < 0) {
    fprintf(stderr, "usage: copy-out [--follow] PATH\n       copy-in [--parents] [--owners] PATH\n");
    return 2;
  }
  umask(0);
  if (into) copy_in(root, &how);
  copy_out(root, how.target, flags);
}

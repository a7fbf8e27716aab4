/* The operations that hide paths of the root, or make them read-only. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "ops.h"
#include "sys.h"

/* The mask of a file is a null device that was verified to be one (CVE-2025-31133). */
static int null_device(struct child *c) {
  int fd = open_inside(c, "dev/null", O_PATH | O_NOFOLLOW);
  struct stat st;
  if (fd < 0 || fstat(fd, &st)) return -1;
  if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3)) {
    errno = ENODEV;
    return -1;
  }
  int tree = sys_open_tree(fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  close(fd);
  return tree;
}

int op_mask(struct child *c, struct reader *r) {
  char *target = get_str_dup(r);
  if (r->bad) return 0;
  int at = open_inside(c, target, O_PATH | O_NOFOLLOW);
  if (at < 0) return errno == ENOENT || errno == ENOTDIR ? 0 : fail(&c->failure, "mask", target, "open");
  struct stat st;
  if (fstat(at, &st)) return fail(&c->failure, "mask", target, "stat");
  static const char *const options[][2] = {{"size", "4096"}, {"nr_inodes", "1"}, {NULL, NULL}};
  int mount = S_ISDIR(st.st_mode)
                ? make_fs("tmpfs", options, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)
                : null_device(c);
  if (mount < 0) return fail(&c->failure, "mask", target, "make mask");
  if (sys_move_mount(mount, at)) return fail(&c->failure, "mask", target, "move_mount");
  close(mount);
  close(at);
  free(target);
  return 0;
}

int op_readonly(struct child *c, struct reader *r) {
  char *target = get_str_dup(r);
  if (r->bad) return 0;
  int at = open_inside(c, target, O_PATH | O_NOFOLLOW);
  if (at < 0) return errno == ENOENT || errno == ENOTDIR ? 0 : fail(&c->failure, "readonly", target, "open");
  int tree = sys_open_tree(at, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
  if (tree < 0) return fail(&c->failure, "readonly", target, "open_tree");
  if (sys_mount_setattr(tree, AT_RECURSIVE, MOUNT_ATTR_RDONLY, 0))
    return fail(&c->failure, "readonly", target, "mount_setattr");
  if (sys_move_mount(tree, at)) return fail(&c->failure, "readonly", target, "move_mount");
  close(tree);
  close(at);
  free(target);
  return 0;
}

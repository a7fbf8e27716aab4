/* The operations that make the root, and that which moves into it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ops.h"
#include "sys.h"

int mount_stage(struct child *c, const char *operation, uint64_t size) {
  char options[48] = "mode=0755";
  if (size) snprintf(options, sizeof options, "mode=0755,size=%llu", (unsigned long long)size);
  bool there = c->staged_fd >= 0;
  if (!there && c->scratch_fd >= 0) { /* the supervisor's, which sees it after the container's end, too */
    int at = open(c->stage, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (at < 0 || sys_move_mount(c->scratch_fd, at)) return fail(&c->failure, operation, c->stage, "move_mount");
    close(at);
    there = true;
    if (!size) goto mounted;
  }
  unsigned long flags = MS_NODEV | (there ? (unsigned long)MS_REMOUNT : 0);
  if ((!there || size) && mount("tmpfs", c->stage, "tmpfs", flags, options))
    return fail(&c->failure, operation, c->stage, "mount tmpfs");
mounted:
  return chdir(c->stage) ? fail(&c->failure, operation, c->stage, "chdir") : 0;
}

int op_stage(struct child *c) {
  if (mount_stage(c, "stage", 0)) return -1;
  if (mkdir("staged", 0755)) return fail(&c->failure, "stage", c->stage, "mkdir");
  c->root_fd = c->staged_fd = open("staged", O_PATH | O_DIRECTORY | O_CLOEXEC);
  return c->root_fd < 0 ? fail(&c->failure, "stage", c->stage, "open") : 0;
}

int op_rootfs(struct child *c, struct reader *r) {
  uint16_t n = get_u16(r);
  char **lowers = xalloc(((size_t)n + 1) * sizeof *lowers);
  for (uint16_t i = 0; i < n; i++) {
    lowers[i] = get_str_dup(r);
    if (!lowers[i]) return 0;
  }
  char *upper = get_str_dup(r), *work = get_str_dup(r);
  uint64_t size = get_u64(r);
  uint32_t flags = get_u32(r);
  if (r->bad) return 0;
  if (mount_stage(c, "rootfs", size)) return -1;
  if (mkdir("root", 0755)) return fail(&c->failure, "rootfs", c->stage, "mkdir");
  if (!*upper) {
    if (mkdir("upper", 0755) || mkdir("work", 0755)) return fail(&c->failure, "rootfs", c->stage, "mkdir");
    free(upper), free(work);
    upper = xstrdup("upper");
    work = xstrdup("work");
  } else if ((mkdir(upper, 0755) && errno != EEXIST) || (mkdir(work, 0755) && errno != EEXIST)) {
    return fail(&c->failure, "rootfs", upper, "mkdir");
  }
  if (mount_overlay(c, lowers, n, upper, work, flags & 1)) return -1;
  c->root_fd = open("root", O_PATH | O_DIRECTORY | O_CLOEXEC);
  return c->root_fd < 0 ? fail(&c->failure, "rootfs", c->stage, "open") : 0;
}

int mount_tree(struct child *c, int tree, const char *operation, const char *path) {
  if (mkdir("root", 0755)) return fail(&c->failure, operation, c->stage, "mkdir");
  int at = open("root", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (at < 0 || sys_move_mount(tree, at)) return fail(&c->failure, operation, path, "move_mount");
  close(at);
  close(tree);
  c->root_fd = open("root", O_PATH | O_DIRECTORY | O_CLOEXEC);
  return c->root_fd < 0 ? fail(&c->failure, operation, c->stage, "open") : 0;
}

int mount_directory(struct child *c, const char *directory) {
  if (mount_stage(c, "rootfs.copy", 0)) return -1;
  int tree = sys_open_tree(AT_FDCWD, directory, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  if (tree < 0) return fail(&c->failure, "rootfs.copy", directory, "open_tree");
  return mount_tree(c, tree, "rootfs.copy", directory);
}

int op_bindroot(struct child *c, struct reader *r) {
  char *source = get_str_dup(r);
  uint8_t readonly = get_u8(r);
  if (r->bad) return 0;
  int tree = sys_open_tree(AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
  if (tree < 0) return fail(&c->failure, "bindroot", source, "open_tree");
  if (readonly && sys_mount_setattr(tree, AT_RECURSIVE, MOUNT_ATTR_RDONLY, 0))
    return fail(&c->failure, "bindroot", source, "mount_setattr");
  int at = open(c->stage, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (at < 0 || sys_move_mount(tree, at)) return fail(&c->failure, "bindroot", source, "move_mount");
  close(at);
  close(tree);
  c->root_fd = open(c->stage, O_PATH | O_DIRECTORY | O_CLOEXEC);
  free(source);
  return c->root_fd < 0 ? fail(&c->failure, "bindroot", c->stage, "open") : 0;
}

int op_pivot(struct child *c, struct reader *r) {
  uint8_t flags = get_u8(r);
  if (r->bad) return 0;
  if (c->root_fd < 0) return fail_with(&c->failure, EINVAL, "pivot", "", "no root");
  if (fchdir(c->root_fd)) return fail(&c->failure, "pivot", "", "fchdir");
  /* pivot_root(".", ".") stacks the old root on the new one, so that it can be detached without a directory for it. */
  if (sys_pivot_root(".", ".")) return fail(&c->failure, "pivot", "", "pivot_root");
  if (umount2(".", MNT_DETACH)) return fail(&c->failure, "pivot", "", "umount2");
  if (chdir("/")) return fail(&c->failure, "pivot", "/", "chdir");
  close(c->root_fd);
  c->root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (c->root_fd < 0) return fail(&c->failure, "pivot", "/", "open");
  unsigned attr = (flags & 1 ? MOUNT_ATTR_RDONLY : 0u) | (flags & 2 ? MOUNT_ATTR_NODEV : 0u);
  if (attr && sys_mount_setattr(c->root_fd, 0, attr, 0))
    return fail(&c->failure, "pivot", "/", "mount_setattr");
  return 0;
}

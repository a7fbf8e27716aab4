/* The root file system through fuse-overlayfs: this side mounts, the helper on the other end of /dev/fuse serves. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ops.h"
#include "sys.h"

int op_rootfs_fuse(struct child *c) {
  if (c->fuse_fd < 0) return fail_with(&c->failure, EINVAL, "rootfs.fuse", "", "no helper");
  if (mount_stage(c, "rootfs.fuse", 0)) return -1;
  if (mkdir("root", 0755)) return fail(&c->failure, "rootfs.fuse", c->stage, "mkdir");
  char options[96];
  snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions", c->fuse_fd);
  if (mount("fuse-overlayfs", "root", "fuse.fuse-overlayfs", 0, options)) return fail(&c->failure, "rootfs.fuse", "", "mount fuse");
  /* The helper's alone from now on: when it dies, the kernel ends the connection, and nobody waits for it forever. */
  close(c->fuse_fd);
  c->fuse_fd = -1;
  c->root_fd = open("root", O_PATH | O_DIRECTORY | O_CLOEXEC);
  return c->root_fd < 0 ? fail(&c->failure, "rootfs.fuse", c->stage, "open") : 0;
}

/* Namespaces that a container does not have for itself: another container's, the host's; and its own time. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ops.h"
#include "sys.h"

/* The other container's pid 1; what has ended has no namespaces to share. */
static int peer(struct child *c, const char *container) {
  int fd = c->pidfd_of(container);
  if (fd < 0) errno = ESRCH;
  return fd;
}

int op_enter(struct child *c, struct reader *r) {
  int namespaces = (int)get_u32(r);
  char *container = get_str_dup(r);
  if (r->bad) return 0;
  int fd = *container ? peer(c, container) : c->host_net;
  if (fd < 0 || (!*container && namespaces != CLONE_NEWNET)) return fail(&c->failure, "enter", container, "find");
  if (setns(fd, namespaces)) return fail(&c->failure, "enter", container, "setns");
  free(container);
  return 0;
}

/* Offsets can be set only while nobody is in the namespace: made for children, filled, then entered. */
int op_time(struct child *c, struct reader *r) {
  int64_t monotonic = (int64_t)get_u64(r), boottime = (int64_t)get_u64(r);
  if (r->bad) return 0;
  if (unshare(CLONE_NEWTIME)) return fail(&c->failure, "time", "", "unshare");
  char text[128];
  snprintf(text, sizeof text, "monotonic %lld 0\nboottime %lld 0\n", (long long)monotonic, (long long)boottime);
  int self = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (self < 0 || write_file_at(self, "timens_offsets", text)) return fail(&c->failure, "time", "", "offsets");
  int fd = openat(self, "ns/time_for_children", O_RDONLY | O_CLOEXEC);
  if (fd < 0 || setns(fd, CLONE_NEWTIME)) return fail(&c->failure, "time", "", "setns");
  close(fd);
  close(self);
  return 0;
}

/* A tree of the other container's, copied while standing there: only mounts of one's own namespace can be. */
static int peer_tree(int pidfd, const char *source) {
  int own = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC), here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
  int tree = -1, saved = errno;
  if (own >= 0 && here >= 0 && !setns(pidfd, CLONE_NEWNS)) {
    tree = sys_open_tree(AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    saved = errno;
    if (setns(own, CLONE_NEWNS) || fchdir(here)) _exit(127); /* stranded in the other's */
  } else {
    saved = errno;
  }
  if (own >= 0) close(own);
  if (here >= 0) close(here);
  errno = saved;
  return tree;
}

/* The root of the container's life before, which its files outlived: mounted once more, its other mounts left behind. */
int op_rootfs_again(struct child *c) {
  if (mount_stage(c, "rootfs.again", 0)) return -1;
  if (c->mounts_fd < 0) return fail_with(&c->failure, ESRCH, "rootfs.again", "/", "find");
  int tree = peer_tree(c->mounts_fd, "/");
  if (tree < 0) return fail(&c->failure, "rootfs.again", "/", "open_tree");
  /* Made read-only at the end again, if it was. */
  if (sys_mount_setattr(tree, 0, 0, MOUNT_ATTR_RDONLY)) return fail(&c->failure, "rootfs.again", "/", "mount_setattr");
  return mount_tree(c, tree, "rootfs.again", "/");
}

int op_mount_peer(struct child *c, struct reader *r) {
  char *container = get_str_dup(r), *source = get_str_dup(r), *target = get_str_dup(r);
  if (r->bad) return 0;
  int fd = peer(c, container);
  int tree = fd < 0 ? -1 : peer_tree(fd, source);
  if (tree < 0) return fail(&c->failure, "mount.peer", source, "open_tree");
  if (mkdir_inside(c, target, 0755)) return fail(&c->failure, "mount.peer", target, "mkdir");
  int at = open_inside(c, target, O_PATH | O_DIRECTORY | O_NOFOLLOW);
  if (at < 0 || sys_move_mount(tree, at)) return fail(&c->failure, "mount.peer", target, "move_mount");
  close(at);
  close(tree);
  free(container), free(source), free(target);
  return 0;
}

/* The operation list: checked by the supervisor, carried out by the child (docs/protocol.md, Operations). */
#ifndef MAYFLY_OPS_H
#define MAYFLY_OPS_H

#include "base.h"
#include "cgroup.h"

enum op {
  OP_CGROUP = 1, OP_LOOPBACK, OP_VETH, OP_HOSTNAME, OP_ROOTFS, OP_BINDROOT, OP_MKDIR, OP_FILE, OP_SYMLINK, OP_DEVICE,
  OP_MOUNT_PROC, OP_MOUNT_SYSFS, OP_MOUNT_TMPFS, OP_MOUNT_DEVPTS, OP_MOUNT_MQUEUE, OP_MOUNT_BIND, OP_MOUNT_CGROUP,
  OP_MASK, OP_READONLY, OP_PIVOT, OP_SYSCTL, OP_UMASK, OP_RLIMIT, OP_CHDIR, OP_GROUPS, OP_USER, OP_CAPABILITIES,
  OP_NONEWPRIVS, OP_SECCOMP, OP_JOIN, OP_ENV, OP_ARGV, OP_EXEC, OP_AWAIT, OP_OOMSCORE, OP_TERMINAL, OP_STAGE, OP_MOUNT_MOVE,
  OP_ROOTFS_COPY, OP_ROOTFS_FUSE, OP_ENTER, OP_TIME, OP_DOMAINNAME, OP_INIT, OP_MOUNT_PEER, OP_DEVICES,
  OP_LINK = 53, OP_LEAVE, OP_NOTIFY, OP_FILES, OP_COPY_OUT, OP_COPY_IN, OP_ROOTFS_AGAIN, OP_LAST
};

/* Everything a child knows; it is a copy of the supervisor's memory at the moment of the clone. */
struct child {
  struct failure failure;
  int error_fd;              /* success is its end of file at exec */
  int terminal_fd;           /* where a terminal's first side is sent, or -1 */
  int notify_fd;             /* where a listener of notifications is, or -1 */
  int control_fd;            /* further operations after `await`, or -1 */
  const char *name;          /* the container's id: the name of its cgroup directories */
  const char *stage;         /* an empty directory in the run's directory, to build the root on */
  int root_fd;               /* the root being built, O_PATH */
  int scratch_fd;            /* a tmpfs for the stage, not mounted yet, or -1 */
  int staged_fd;             /* the tree that `stage` began and `mount.move` takes from, or -1 */
  const struct cgroups *cgroups;
  const int *cgroup_fds;     /* the container's directories, one per hierarchy */
  int hub_route_fd;          /* a route socket in the hub's network namespace */
  uint32_t bridge;           /* the hub's bridge */
  uint32_t veth_index;       /* names the hub's end */
  int fuse_fd;               /* of the helper that serves the root, or -1 */
  int host_net;              /* the network namespace outside the run, or -1 */
  int self_fd;               /* this program, sealed, or -1 */
  int (*pidfd_of)(const char *container); /* pid 1 of a running container, or -1 */
  int join_pidfd;            /* exec: the container's pid 1 */
  int mounts_fd;             /* exec of files, and a start once more: the container's mount namespace; or -1 */
  uint32_t uid;
  uint64_t caps_effective, caps_inheritable, caps_ambient;
  bool caps_set;
  char **env, **argv;
};

/* 0, or -1 with `f` filled. */
int ops_check(const uint8_t *data, size_t length, struct failure *f);
/* Whether a list, which was checked, has this operation. */
bool ops_have(const uint8_t *data, size_t length, uint16_t wanted);
const char *op_name(uint16_t op);
/* Never returns: ends in exec, or reports the failure on error_fd and exits. */
_Noreturn void ops_run(struct child *c, const uint8_t *data, size_t length);

/* One operation each; 0, or -1 with c->failure filled except for the index. */
int op_stage(struct child *c);
int op_mount_move(struct child *c, struct reader *r);
int op_rootfs(struct child *c, struct reader *r);
/* At "root", of the directory that it stands in. */
int mount_overlay(struct child *c, char **lowers, uint16_t n, const char *upper, const char *work, bool user);
/* A new file system that is mounted nowhere yet: its descriptor, or -1. The options' last has no name. */
int make_fs(const char *type, const char *const options[][2], unsigned attr);
int op_rootfs_copy(struct child *c, struct reader *r);
int op_rootfs_fuse(struct child *c);
int op_rootfs_again(struct child *c);
/* What is mounted there becomes the root being built. Takes over `tree`. */
int mount_tree(struct child *c, int tree, const char *operation, const char *path);
/* A new directory gets what an upper directory holds, its marks included. Takes over `from`. */
int copy_upper(int from, const char *directory, struct failure *f);
/* An empty directory gets what another holds, its owner and mode included. Takes over `from`. */
int copy_seed(int from, const char *directory, struct failure *f);
/* Begins or resizes the tmpfs at the stage, and goes there. */
int mount_stage(struct child *c, const char *operation, uint64_t size);
/* A directory on disk becomes the root being built. */
int mount_directory(struct child *c, const char *directory);
int op_bindroot(struct child *c, struct reader *r);
int op_mkdir(struct child *c, struct reader *r);
int op_file(struct child *c, struct reader *r);
int op_symlink(struct child *c, struct reader *r);
int op_device(struct child *c, struct reader *r);
int op_mount_plain(struct child *c, struct reader *r, uint16_t op);
int op_mount_bind(struct child *c, struct reader *r);
int op_mount_cgroup(struct child *c, struct reader *r);
int op_mask(struct child *c, struct reader *r);
int op_readonly(struct child *c, struct reader *r);
int op_pivot(struct child *c, struct reader *r);
int op_sysctl(struct child *c, struct reader *r);
int op_veth(struct child *c, struct reader *r);
int op_link(struct child *c, struct reader *r);
int op_loopback(struct child *c);
int op_join(struct child *c);
int op_chdir(struct child *c, struct reader *r);
int op_groups(struct child *c, struct reader *r);
int op_user(struct child *c, struct reader *r);
int op_capabilities(struct child *c, struct reader *r);
int op_seccomp(struct child *c, struct reader *r);
int op_rlimit(struct child *c, struct reader *r);
int op_exec(struct child *c);
int op_terminal(struct child *c, struct reader *r);
int op_enter(struct child *c, struct reader *r);
int op_time(struct child *c, struct reader *r);
int op_init(struct child *c);
int op_mount_peer(struct child *c, struct reader *r);
int op_devices(struct child *c, struct reader *r);
int op_notify(struct child *c, struct reader *r);
int op_files(struct child *c);
/* These two end the process. */
int op_copy_out(struct child *c, struct reader *r);
int op_copy_in(struct child *c, struct reader *r);

/* What `capabilities` asked for, now that the user is who it is to be; 0 or -1. */
int apply_capabilities(struct child *c);
/* How opening devices can be limited here: "v1", "bpf" or "none". */
const char *devices_control(const struct cgroups *g, bool rootless);

/* Opens `target` inside the root being built; symbolic links stay inside it. */
int open_inside(struct child *c, const char *target, uint64_t flags);
/* Makes `target` and its parents, as directories of mode 0755. */
int mkdir_inside(struct child *c, const char *target, mode_t mode);
/* Opens the directory that holds `target`; *name is its last component. */
int open_parent(struct child *c, const char *target, const char **name);

#endif

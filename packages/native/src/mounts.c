/* The operations that mount. Targets are reached through descriptors, so nothing can be swapped under a path. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ops.h"
#include "sys.h"

static int attach(struct child *c, int mount, const char *operation, const char *target, uint64_t flags) {
  int at = open_inside(c, target, O_PATH | flags);
  if (at < 0) return fail(&c->failure, operation, target, "open target");
  if (sys_move_mount(mount, at)) return fail(&c->failure, operation, target, "move_mount");
  close(at);
  close(mount);
  return 0;
}

int make_fs(const char *type, const char *const options[][2], unsigned attr) {
  int fs = sys_fsopen(type);
  if (fs < 0) return -1;
  for (size_t i = 0; options && options[i][0]; i++) {
    const char *value = options[i][1];
    if (sys_fsconfig(fs, value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, options[i][0], value)) goto bad;
  }
  if (sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL)) goto bad;
  int mount = sys_fsmount(fs, attr);
  if (mount < 0) goto bad;
  close(fs);
  return mount;
bad:;
  int saved = errno;
  close(fs);
  errno = saved;
  return -1;
}

int op_mount_move(struct child *c, struct reader *r) {
  char *target = get_str_dup(r);
  if (r->bad) return 0;
  if (c->staged_fd < 0) return fail_with(&c->failure, EINVAL, "mount.move", target, "nothing staged");
  int mount = sys_openat2(c->staged_fd, target, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0, RESOLVE_IN_ROOT);
  if (mount < 0) return fail(&c->failure, "mount.move", target, "open staged");
  if (mkdir_inside(c, target, 0755)) return fail(&c->failure, "mount.move", target, "mkdir");
  int result = attach(c, mount, "mount.move", target, O_DIRECTORY | O_NOFOLLOW);
  free(target);
  return result;
}

static unsigned attributes(uint32_t flags) {
  return (flags & 1 ? MOUNT_ATTR_RDONLY : 0u) | (flags & 2 ? MOUNT_ATTR_NOSUID : 0u) |
         (flags & 4 ? MOUNT_ATTR_NODEV : 0u) | (flags & 8 ? MOUNT_ATTR_NOEXEC : 0u);
}

static int clone_tree(const char *path, unsigned attr) {
  int tree = sys_open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
  if (tree < 0 || !sys_mount_setattr(tree, AT_RECURSIVE, attr, 0)) return tree;
  int saved = errno;
  close(tree);
  errno = saved;
  return -1;
}

int op_mount_plain(struct child *c, struct reader *r, uint16_t op) {
  const char *operation = op_name(op);
  char *target = get_str_dup(r);
  unsigned attr = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  char mode[16], size[24];
  char uid[16], gid[16];
  const char *tmpfs[][2] = {{"mode", mode}, {"uid", uid}, {"gid", gid}, {"size", size}, {NULL, NULL}};
  static const char *const devpts[][2] = {
    {"newinstance", NULL}, {"ptmxmode", "0666"}, {"mode", "0620"}, {"gid", "5"}, {NULL, NULL}};
  static const char *const devpts_ungrouped[][2] = {
    {"newinstance", NULL}, {"ptmxmode", "0666"}, {"mode", "0620"}, {NULL, NULL}};
  const char *const(*options)[2] = NULL;
  const char *type = op == OP_MOUNT_PROC ? "proc" : op == OP_MOUNT_MQUEUE ? "mqueue" : "sysfs";
  if (op == OP_MOUNT_SYSFS && get_u8(r)) attr |= MOUNT_ATTR_RDONLY;
  if (op == OP_MOUNT_DEVPTS) {
    type = "devpts";
    options = devpts;
    attr = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
  }
  if (op == OP_MOUNT_TMPFS) {
    type = "tmpfs";
    snprintf(mode, sizeof mode, "%o", get_u32(r));
    uint64_t bytes = get_u64(r);
    snprintf(size, sizeof size, "%llu", (unsigned long long)bytes);
    if (!bytes) tmpfs[3][0] = NULL;
    attr = attributes(get_u32(r));
    snprintf(uid, sizeof uid, "%u", get_u32(r));
    snprintf(gid, sizeof gid, "%u", get_u32(r));
    options = (const char *const(*)[2])tmpfs;
  }
  if (r->bad) return 0;
  if (mkdir_inside(c, target, 0755)) return fail(&c->failure, operation, target, "mkdir");
  int mount = make_fs(type, options, attr);
  /* Group 5 does not exist where a user has a single id. */
  if (mount < 0 && errno == EINVAL && op == OP_MOUNT_DEVPTS) mount = make_fs(type, devpts_ungrouped, attr);
  /* Refused to a user where the surrounding container hides parts of its own: what may be seen there may be seen here. */
  if (mount < 0 && errno == EPERM && op == OP_MOUNT_SYSFS) mount = clone_tree("/sys", MOUNT_ATTR_RDONLY);
  if (mount < 0) return fail(&c->failure, operation, target, "fsmount");
  /* A tmpfs may go where an image's link points inside the root; proc, sys and dev never (CVE-2026-41579). */
  uint64_t follow = op == OP_MOUNT_TMPFS && strcmp(target, "/dev") ? 0 : O_NOFOLLOW;
  int result = attach(c, mount, operation, target, O_DIRECTORY | follow);
  free(target);
  return result;
}

enum { MOUNT_SEED = 16 };

int op_mount_bind(struct child *c, struct reader *r) {
  char *source = get_str_dup(r), *target = get_str_dup(r);
  uint32_t flags = get_u32(r);
  uint8_t recursive = get_u8(r), slave = get_u8(r);
  if (r->bad) return 0;
  unsigned deep = recursive ? (unsigned)AT_RECURSIVE : 0;
  int tree = sys_open_tree(AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | deep);
  if (tree < 0) return fail(&c->failure, "mount.bind", source, "open_tree");
  if (attributes(flags) && sys_mount_setattr(tree, deep, attributes(flags), 0))
    return fail(&c->failure, "mount.bind", source, "mount_setattr");
  if (sys_mount_propagation(tree, slave ? MS_SLAVE : MS_PRIVATE))
    return fail(&c->failure, "mount.bind", source, "propagation");
  struct stat st;
  if (fstatat(tree, "", &st, AT_EMPTY_PATH)) return fail(&c->failure, "mount.bind", source, "stat");
  if (S_ISDIR(st.st_mode)) {
    if (mkdir_inside(c, target, 0755)) return fail(&c->failure, "mount.bind", target, "mkdir");
    if (flags & MOUNT_SEED && copy_seed(open_inside(c, target, O_RDONLY | O_DIRECTORY), source, &c->failure)) return -1;
  } else {
    const char *name;
    char *slash = strrchr(target, '/');
    if (slash && slash != target) {
      *slash = 0;
      int made = mkdir_inside(c, target, 0755);
      *slash = '/';
      if (made) return fail(&c->failure, "mount.bind", target, "mkdir");
    }
    int dir = open_parent(c, target, &name);
    int fd = dir < 0 ? -1 : openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0 && errno != EEXIST) return fail(&c->failure, "mount.bind", target, "create target");
    if (fd >= 0) close(fd);
    if (dir >= 0) close(dir);
  }
  int result = attach(c, tree, "mount.bind", target, 0);
  free(source), free(target);
  return result;
}

int op_mount_cgroup(struct child *c, struct reader *r) {
  char *target = get_str_dup(r);
  uint8_t readonly = get_u8(r);
  if (r->bad) return 0;
  if (mkdir_inside(c, target, 0755)) return fail(&c->failure, "mount.cgroup", target, "mkdir");
  bool unified = c->cgroups->count == 1 && !c->cgroups->list[0].controllers[0];
  static const char *const options[][2] = {{"mode", "755"}, {"size", "4096"}, {NULL, NULL}};
  if (!unified) {
    int tmpfs = make_fs("tmpfs", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    if (tmpfs < 0) return fail(&c->failure, "mount.cgroup", target, "fsmount");
    if (attach(c, tmpfs, "mount.cgroup", target, O_DIRECTORY | O_NOFOLLOW)) return -1;
  }
  for (size_t i = 0; i < c->cgroups->count; i++) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, unified ? "%s" : "%s/%s", target, c->cgroups->list[i].controllers);
    if (!unified && mkdir_inside(c, path, 0755)) return fail(&c->failure, "mount.cgroup", path, "mkdir");
    const struct hierarchy *h = &c->cgroups->list[i];
    char own[PATH_MAX];
    /* By path: the kept descriptors belong to the janitor's mount namespace, and a clone of those is refused. */
    snprintf(own, sizeof own, "%s/%s/%s", h->parent, c->cgroups->run_name, c->name);
    int tree = sys_open_tree(AT_FDCWD, own, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0) return fail(&c->failure, "mount.cgroup", own, "open_tree");
    const unsigned attr = (readonly ? MOUNT_ATTR_RDONLY : 0u) | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    if (sys_mount_setattr(tree, 0, attr, 0)) return fail(&c->failure, "mount.cgroup", path, "mount_setattr");
    if (attach(c, tree, "mount.cgroup", path, O_DIRECTORY | O_NOFOLLOW)) return -1;
  }
  free(target);
  return 0;
}

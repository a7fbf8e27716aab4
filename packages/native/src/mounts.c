/* The operations that mount. Targets are reached through descriptors, so nothing can be swapped under a path. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "ops.h"
#include "sys.h"

enum { PLAIN_OPTIONS = 4000 }; /* mount(2) takes one page of options */

static int attach(struct child *c, int mount, const char *operation, const char *target, uint64_t flags) {
  int at = open_inside(c, target, O_PATH | flags);
  if (at < 0) return fail(&c->failure, operation, target, "open target");
  if (sys_move_mount(mount, at)) return fail(&c->failure, operation, target, "move_mount");
  close(at);
  close(mount);
  return 0;
}

static int make_fs(const char *type, const char *const options[][2], unsigned attr) {
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

/* A mount's options are one page, and a path in them has no commas, colons and backslashes. */
static bool plain_options(char *options, char *const *lowers, uint16_t n, const char *upper, const char *work, bool user) {
  size_t used = (size_t)snprintf(options, PLAIN_OPTIONS, "lowerdir=");
  for (uint16_t i = 0; i < n; i++) {
    if (strpbrk(lowers[i], ",:\\\"") || used + strlen(lowers[i]) + 2 >= PLAIN_OPTIONS) return false;
    used += (size_t)snprintf(options + used, PLAIN_OPTIONS - used, "%s%s", i ? ":" : "", lowers[i]);
  }
  if (strpbrk(upper, ",\\\"") || strpbrk(work, ",\\\"")) return false;
  /* `volatile`: a throw-away upper needs no fsync, and databases gain most. */
  int more = snprintf(options + used, PLAIN_OPTIONS - used, ",upperdir=%s,workdir=%s,volatile,redirect_dir=nofollow,metacopy=off%s",
                      upper, work, user ? ",userxattr" : "");
  return more > 0 && (size_t)more < PLAIN_OPTIONS - used;
}

/* The kernel takes any path, one at a time, from 6.5 on. */
static int overlay_by_descriptors(char *const *lowers, uint16_t n, const char *upper, const char *work, bool user) {
  int fs = switched_off("lowerdir+") ? (errno = EINVAL, -1) : sys_fsopen("overlay");
  if (fs < 0) return -1;
  int mount = -1, result = -1;
  for (uint16_t i = 0; i < n; i++)
    if (sys_fsconfig(fs, FSCONFIG_SET_STRING, "lowerdir+", lowers[i])) goto out;
  if (sys_fsconfig(fs, FSCONFIG_SET_STRING, "upperdir", upper) ||
      sys_fsconfig(fs, FSCONFIG_SET_STRING, "workdir", work) ||
      sys_fsconfig(fs, FSCONFIG_SET_FLAG, "volatile", NULL) ||
      (user && sys_fsconfig(fs, FSCONFIG_SET_FLAG, "userxattr", NULL)) ||
      sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL))
    goto out;
  mount = sys_fsmount(fs, 0);
  int at = mount < 0 ? -1 : open("root", O_PATH | O_DIRECTORY | O_CLOEXEC);
  result = at < 0 ? -1 : sys_move_mount(mount, at);
  if (at >= 0) close(at);
out:
  if (mount >= 0) close(mount);
  close(fs);
  return result;
}

/* Every path by a link's name: a few digits, so that one page holds the 500 layers that the kernel takes. */
static int overlay_by_names(char *options, char *const *lowers, uint16_t n, const char *upper, const char *work, bool user) {
  enum { NAME = 8 };
  const uint16_t all = (uint16_t)(n + 2);
  char *text = xalloc((size_t)all * NAME), **names = xalloc((size_t)all * sizeof *names);
  int result = mkdir("names", 0700) || chdir("names") ? -1 : 0;
  uint16_t made = 0;
  for (; !result && made < all; made++) {
    const char *path = made < n ? lowers[made] : made == n ? upper : work;
    char above[16]; /* ours in the stage, or wherever it was asked for */
    if (*path != '/') path = snprintf(above, sizeof above, "../%s", path) < (int)sizeof above ? above : "";
    names[made] = text + (size_t)made * NAME;
    (void)snprintf(names[made], NAME, "%u", made);
    result = symlink(path, names[made]);
  }
  if (!result && !plain_options(options, names, n, names[n], names[n + 1], user)) result = (errno = E2BIG, -1);
  if (!result) result = mount("overlay", "../root", "overlay", 0, options);
  int saved = errno;
  while (made > 0) (void)unlink(names[--made]);
  if (chdir("..") || rmdir("names")) result = -1;
  else errno = saved;
  free(names);
  free(text);
  return result;
}

static int mount_overlay(struct child *c, char **lowers, uint16_t n, const char *upper, const char *work, bool user) {
  char *options = xalloc(PLAIN_OPTIONS + 1);
  const char *way = "mount overlay";
  int result;
  if (plain_options(options, lowers, n, upper, work, user)) result = mount("overlay", "root", "overlay", 0, options);
  else {
    way = "overlay lowerdir+";
    result = overlay_by_descriptors(lowers, n, upper, work, user);
    if (result && errno == EINVAL) result = overlay_by_names(options, lowers, n, upper, work, user);
  }
  if (result) fail(&c->failure, "rootfs", n ? lowers[0] : "", way);
  free(options);
  return result;
}

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

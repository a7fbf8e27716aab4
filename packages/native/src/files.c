/* Paths inside the root being built, and the operations that make files there. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "ops.h"
#include "sys.h"

int open_inside(struct child *c, const char *target, uint64_t flags) {
  while (*target == '/') target++;
  return sys_openat2(c->root_fd, *target ? target : ".", flags | O_CLOEXEC, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

int open_parent(struct child *c, const char *target, const char **name) {
  char parent[PATH_MAX];
  const char *slash = strrchr(target, '/');
  *name = slash ? slash + 1 : target;
  size_t n = slash ? (size_t)(slash - target) : 0;
  if (n >= sizeof parent || !**name || !strcmp(*name, "..") || !strcmp(*name, ".")) {
    errno = EINVAL;
    return -1;
  }
  memcpy(parent, target, n);
  parent[n] = 0;
  return open_inside(c, parent, O_PATH | O_DIRECTORY);
}

int mkdir_inside(struct child *c, const char *target, mode_t mode) {
  char path[PATH_MAX];
  size_t n = strlen(target);
  if (n >= sizeof path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  for (size_t i = 1; i <= n; i++) {
    if (i != n && target[i] != '/') continue;
    memcpy(path, target, i);
    path[i] = 0;
    if (path[i - 1] == '/') continue;
    int fd = open_inside(c, path, O_PATH | O_DIRECTORY);
    if (fd >= 0) {
      close(fd);
      continue;
    }
    if (errno != ENOENT) return -1;
    const char *name;
    int parent = open_parent(c, path, &name);
    if (parent < 0) return -1;
    int result = mkdirat(parent, name, i == n ? mode : 0755);
    int saved = errno;
    close(parent);
    if (result && saved != EEXIST) {
      errno = saved;
      return -1;
    }
  }
  return 0;
}

int op_mkdir(struct child *c, struct reader *r) {
  char *target = get_str_dup(r);
  mode_t mode = (mode_t)get_u32(r);
  uint8_t parents = get_u8(r);
  if (r->bad) return 0;
  int result;
  if (parents) {
    result = mkdir_inside(c, target, mode);
  } else {
    const char *name;
    int dir = open_parent(c, target, &name);
    result = dir < 0 ? -1 : mkdirat(dir, name, mode);
    if (result && errno == EEXIST) result = 0;
    if (dir >= 0) close(dir);
  }
  if (result) return fail(&c->failure, "mkdir", target, "mkdirat");
  free(target);
  return 0;
}

int op_file(struct child *c, struct reader *r) {
  char *target = get_str_dup(r);
  mode_t mode = (mode_t)get_u32(r);
  uint32_t n;
  const uint8_t *content = get_bytes(r, &n);
  if (r->bad) return 0;
  const char *name;
  int dir = open_parent(c, target, &name);
  if (dir < 0) return fail(&c->failure, "file", target, "open directory");
  const int flags = O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
  int fd = openat(dir, name, flags, mode);
  struct stat st;
  if ((fd < 0 && (errno == ELOOP || errno == ENXIO)) || (fd >= 0 && !fstat(fd, &st) && !S_ISREG(st.st_mode))) {
    /* A link or a special file of the image's: replaced, never written through. */
    if (fd >= 0) close(fd);
    if (unlinkat(dir, name, 0)) return fail(&c->failure, "file", target, "unlinkat");
    fd = openat(dir, name, flags | O_EXCL, mode);
  }
  if (fd < 0) return fail(&c->failure, "file", target, "open");
  if (write_all(fd, content, n)) return fail(&c->failure, "file", target, "write");
  if (close(fd)) return fail(&c->failure, "file", target, "close");
  close(dir);
  free(target);
  return 0;
}

int op_symlink(struct child *c, struct reader *r) {
  char *target = get_str_dup(r);
  char *value = get_str_dup(r);
  if (r->bad) return 0;
  const char *name;
  int dir = open_parent(c, target, &name);
  if (dir < 0) return fail(&c->failure, "symlink", target, "open directory");
  if (symlinkat(value, dir, name) && errno != EEXIST) return fail(&c->failure, "symlink", target, "symlinkat");
  close(dir);
  free(target);
  free(value);
  return 0;
}

int op_device(struct child *c, struct reader *r) {
  char *target = get_str_dup(r);
  mode_t mode = (mode_t)get_u32(r);
  uint32_t major_number = get_u32(r), minor_number = get_u32(r);
  uint8_t type = get_u8(r);
  if (r->bad) return 0;
  mode_t kind = type == 'b' ? S_IFBLK : type == 'p' ? S_IFIFO : S_IFCHR;
  const char *name;
  int dir = open_parent(c, target, &name);
  if (dir < 0) return fail(&c->failure, "device", target, "open directory");
  /* The caller's umask must not bend a device's mode: initdb fails on a /dev/null that it cannot write. */
  mode_t old = umask(0);
  int result = mknodat(dir, name, kind | mode, makedev(major_number, minor_number));
  umask(old);
  if (result) return fail(&c->failure, "device", target, "mknodat");
  close(dir);
  free(target);
  return 0;
}

int op_chdir(struct child *c, struct reader *r) {
  char *target = get_str_dup(r);
  if (r->bad) return 0;
  int fd = open_inside(c, target, O_PATH | O_DIRECTORY);
  if (fd < 0) return fail(&c->failure, "chdir", target, "open");
  if (fchdir(fd)) return fail(&c->failure, "chdir", target, "fchdir");
  close(fd);
  free(target);
  return 0;
}

int op_sysctl(struct child *c, struct reader *r) {
  char *name = get_str_dup(r);
  char *value = get_str_dup(r);
  if (r->bad) return 0;
  /* A procfs of our own, not the one in the image's tree (CVE-2025-52881). */
  int fs = sys_fsopen("proc");
  if (fs < 0 || sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL)) return fail(&c->failure, "sysctl", name, "fsopen");
  int mount = sys_fsmount(fs, 0);
  if (mount < 0) return fail(&c->failure, "sysctl", name, "fsmount");
  close(fs);
  int dir = openat(mount, "sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
  int fd = dir < 0 ? -1 : sys_openat2(dir, name, O_WRONLY | O_CLOEXEC, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
  if (fd < 0) return fail(&c->failure, "sysctl", name, "open");
  if (write_all(fd, value, strlen(value))) return fail(&c->failure, "sysctl", name, "write");
  close(fd);
  close(dir);
  close(mount);
  free(name);
  free(value);
  return 0;
}

/* Mounts an overlay, by whichever of three ways takes its paths. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ops.h"
#include "sys.h"

enum { PLAIN_OPTIONS = 4000 }; /* mount(2) takes one page of options */

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

int mount_overlay(struct child *c, char **lowers, uint16_t n, const char *upper, const char *work, bool user) {
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

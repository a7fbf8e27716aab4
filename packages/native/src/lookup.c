/* Looking up what a container would see at a path of several layers. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lookup.h"
#include "sys.h"

int lookup_open(int root, const char *path, uint64_t flags) {
  const uint64_t resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  return sys_openat2(root, *path ? path : ".", flags | O_CLOEXEC | O_NOFOLLOW, 0, resolve);
}

static bool is_opaque(int root, const char *path) {
  char value;
  int fd = lookup_open(root, path, O_RDONLY | O_DIRECTORY);
  if (fd < 0) return false;
  bool opaque = (fgetxattr(fd, "user.overlay.opaque", &value, 1) == 1 && value == 'y') ||
                (fgetxattr(fd, "trusted.overlay.opaque", &value, 1) == 1 && value == 'y');
  close(fd);
  return opaque;
}

static bool below_opaque(int root, const char *path) {
  char part[4096];
  if (is_opaque(root, "")) return true;
  for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
    if ((size_t)(slash - path) >= sizeof part) return false;
    memcpy(part, path, (size_t)(slash - path));
    part[slash - path] = 0;
    if (is_opaque(root, part)) return true;
  }
  return false;
}

bool lookup(const int *layers, int count, const char *path, struct place *out) {
  char parent[4096];
  const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
  size_t n = slash ? (size_t)(slash - path) : 0;
  if (n >= sizeof parent || strlen(name) >= sizeof out->name || !*name) return false;
  memcpy(parent, path, n);
  parent[n] = 0;
  snprintf(out->name, sizeof out->name, "%s", name);
  for (int i = 0; i < count; i++) {
    out->parent = lookup_open(layers[i], parent, O_PATH | O_DIRECTORY);
    if (out->parent >= 0 && !fstatat(out->parent, name, &out->st, AT_SYMLINK_NOFOLLOW)) {
      if (!S_ISCHR(out->st.st_mode) || out->st.st_rdev) return true;
      close(out->parent);
      return false;
    }
    bool missing = errno == ENOENT;
    if (out->parent >= 0) close(out->parent);
    /* Through a link, a file or a whiteout nothing below is seen; neither through an opaque directory. */
    if (!missing || below_opaque(layers[i], path)) return false;
  }
  return false;
}

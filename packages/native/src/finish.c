/* The end of a layer: late modes and times, and what its lower layers must settle. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base.h"
#include "layer.h"
#include "settle.h"

static bool inside_opaque(const struct directory *d) {
  if (d->opaque || layer.all[0]->opaque) return true;
  for (const char *slash = strchr(d->path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
    const struct directory *above = find_directory(d->path, (size_t)(slash - d->path));
    if (above != NULL && above->opaque) return true;
  }
  return false;
}

/* Inside an opaque directory there is nothing to hide, and overlayfs would list the whiteouts. */
static void drop_whiteouts(struct directory *d) {
  int fd = openat(directory_fd(d), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *dir = fd < 0 ? NULL : fdopendir(fd);
  if (dir == NULL) refuse_errno("opendir");
  for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
    struct stat st;
    if (entry->d_type != DT_CHR && entry->d_type != DT_UNKNOWN) continue;
    if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) refuse_errno("stat");
    if (is_whiteout(&st) && unlinkat(fd, entry->d_name, 0) < 0) refuse_errno("unlink");
  }
  closedir(dir);
}

static void say(const char *word, const char *path, const char *target) {
  layer.current = path;
  for (const char *at = path; *at; at++) if ((unsigned char)*at < 0x20) refuse("a control character in a name");
  for (const char *at = target; *at; at++) if ((unsigned char)*at < 0x20) refuse("a control character in a name");
  printf("%s %s%s%s\n", word, path, *target ? "\t" : "", target);
}

static bool is_implicit(const struct directory *d) { return !d->dead && !d->listed; }

static bool is_missing(const struct below *link) {
  int fd = open_beneath(link->path, O_PATH);
  if (fd >= 0) close(fd);
  return fd < 0;
}

/* Hard links first, then directories, deepest first: a link changes its directory's time. */
void layer_settle(const int *lowers, int count) {
  for (size_t i = 0; i < layer.below_count; i++)
    if (is_missing(&layer.below[i]) && settle_link(layer.root, layer.below[i].path, layer.below[i].target, lowers, count)) exit(1);
  for (size_t i = layer.count; i-- > 1;)
    if (is_implicit(layer.all[i]) && settle_directory(layer.root, layer.all[i]->path, lowers, count)) exit(1);
}

void layer_finish(void) {
  for (size_t i = layer.count; i-- > 0;) {
    struct directory *d = layer.all[i];
    if (d->dead) continue;
    layer.current = d->path[0] == '\0' ? "." : d->path;
    if (d->whiteouts > 0 && inside_opaque(d)) drop_whiteouts(d);
  }
  for (size_t i = layer.count; i-- > 0;) {
    struct directory *d = layer.all[i];
    if (d->dead) continue;
    layer.current = d->path[0] == '\0' ? "." : d->path;
    if (i == 0 && !d->listed) d->late_mode = true;
    int parent = directory_fd(i == 0 ? d : parent_of(d->path));
    const char *name = i == 0 ? "." : base_of(d->path);
    if (d->late_mode && fchmodat(parent, name, d->mode, 0) < 0) refuse_errno("chmod");
    if (d->listed) set_times(parent, name, d->mtime);
  }
  const struct directory *root = layer.all[0];
  if (root->listed) printf("root %o %u %u\n", root->mode, root->uid, root->gid);
  for (size_t i = 1; i < layer.count; i++) {
    if (is_implicit(layer.all[i])) say("implicit", layer.all[i]->path, "");
  }
  for (size_t i = 0; i < layer.count; i++) {
    if (!layer.all[i]->dead && layer.all[i]->opaque) say("opaque", layer.all[i]->path, "");
  }
  for (size_t i = 0; i < layer.below_count; i++) {
    if (is_missing(&layer.below[i])) say("below", layer.below[i].path, layer.below[i].target);
  }
  if (layer.devices > 0) printf("devices %llu\n", (unsigned long long)layer.devices);
  printf("done %llu %llu\n", (unsigned long long)layer.entries, (unsigned long long)layer.bytes);
  layer.current = "-";
  if (fflush(stdout) != 0) refuse_errno("write to standard output");
}

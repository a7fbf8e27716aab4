/* A layer being unpacked: its directories, and what an entry makes among them. */
#ifndef MAYFLY_LAYER_H
#define MAYFLY_LAYER_H

#include <sys/stat.h>

#include "tarheader.h"

#define READ_BUFFER (1u << 20)
#define OPEN_DIRECTORIES 128u

/* A directory of the layer: every one is known here, so "it exists but is not known" means "it is something else". */
struct directory {
  struct directory *next_in_bucket;
  char *path;
  int fd;
  uint32_t mode, uid, gid;
  struct timespec mtime;
  bool listed, dead, opaque, setgid, late_mode;
  uint32_t whiteouts;
};

/* A hard link whose target must lie in a lower layer. */
struct below {
  char *path;
  char *target;
  size_t next_in_bucket; /* the place behind it, 0 at the end */
};

struct layer {
  int root;
  bool userxattr, keep_owner;
  bool unpacks; /* from a source that is still to be ended */
  uid_t uid;
  gid_t gid;
  uint64_t max_bytes, bytes, entries, devices; /* devices: left out */
  const char *current; /* the name that an error is about */
  struct directory **all; /* the root first, children after their parents */
  size_t count, capacity;
  struct directory *buckets[65536];
  struct directory *open[OPEN_DIRECTORIES];
  size_t next_open;
  struct below *below;
  size_t below_count, below_buckets[65536];
  uint8_t *buffer;
  size_t at, filled;
  bool ended;
};
extern struct layer layer;

/* untar */
_Noreturn void refuse(const char *reason);
_Noreturn void refuse_errno(const char *step);
/* Makes `wanted` bytes (at most the buffer) available, fewer only at the end of the input. */
size_t input_available(size_t wanted);

/* directories */
uint32_t path_bucket(const char *path, size_t length);
struct directory *find_directory(const char *path, size_t length);
struct directory *add_directory(const char *path, size_t length);
/* mkdir that takes the place of a whiteout (then opaque: the lower directory is hidden) or, with `replace`, of anything. */
struct directory *make_directory(struct directory *parent, const char *path, size_t length, uint32_t mode, bool replace);
/* The parent of `path`, made (without an entry of its own) when it is missing. */
struct directory *parent_of(const char *path);
int directory_fd(struct directory *d);
int open_beneath(const char *path, uint64_t flags);
void set_opaque(struct directory *parent, struct directory *d);
/* Takes away what an earlier entry made under this name. */
void remove_entry(int parent, const char *path);
const char *base_of(const char *path);
bool is_whiteout(const struct stat *st);

/* entries */
void layer_enter(struct tar_entry *e);
void set_times(int fd, const char *name, struct timespec mtime);

/* What can only be done when every entry is known, and the report on standard output. */
void layer_finish(void);
/* What that report leaves to the lower layers, top first. */
void layer_settle(const int *lowers, int count);

#endif

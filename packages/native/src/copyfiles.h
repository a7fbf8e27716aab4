/* Files in and out of a container, or of this machine, as a tar. Paths are those that its own programs would use: links
   are followed inside its root, and nothing is run or loaded from there. */
#ifndef MAYFLY_COPYFILES_H
#define MAYFLY_COPYFILES_H

#include "base.h"
#include "commands.h"

/* Of copy.out: a link at the end of the path is followed. */
enum { COPY_FOLLOW = 1 };
/* Of copy.in. Parents: missing directories are made. Resource: one file or directory, which may take the target's name;
   else the entries' names count from the target, a directory. Owners: the archive's. Host: this machine's files, where
   no link of the archive's, or in its way, is followed, and nothing gets the rights of others. */
enum { COPY_PARENTS = 1, COPY_RESOURCE = 2, COPY_OWNERS = 4, COPY_HOST = 8 };
#define COPY_NO_MODE 0xffffffffu

struct copy_in {
  const char *target;
  uint32_t flags, uid, gid; /* whose everything is without COPY_OWNERS */
  uint32_t mode;            /* of files; directories can be searched by whoever may read them */
};

/* Both end the process: 0, or 1 with `ERRNO<tab>STEP<tab>PATH` on standard error. */
_Noreturn void copy_out(int root, const char *source, uint32_t flags);
_Noreturn void copy_in(int root, const struct copy_in *how);

/* What standard error is told, errno kept. */
void copy_failed(const char *path, const char *step);
/* Opens a path inside `root`, absolute links and `..` included; retried when it is being moved meanwhile. */
int copy_open(int root, const char *path, uint64_t flags);

#endif

/* Writes a file system out, then lets what was waiting for that take its place. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base.h"
#include "commands.h"

static int trouble(const char *step, const char *path) {
  fprintf(stderr, "sync %s: %s: %s\n", path, step, errno_name(errno));
  return 1;
}

int cmd_sync(int argc, char **argv) {
  if (argc < 2 || argc % 2 != 0) {
    fprintf(stderr, "usage: sync DIR [FROM TO]...\n");
    return 2;
  }
  int dir = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (dir < 0) return trouble("open", argv[1]);
  if (syncfs(dir) < 0) return trouble("syncfs", argv[1]);
  int result = 0;
  for (int i = 2; i + 1 < argc; i += 2) {
    /* Taken away meanwhile: nothing waits any more. */
    if (renameat(dir, argv[i], dir, argv[i + 1]) < 0 && errno != ENOENT) result = trouble("rename", argv[i]);
  }
  return result;
}

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base.h"
#include "commands.h"

static int trouble(const char *step, const char *path) {
  fprintf(stderr, "lock %s: %s: %s\n", path, step, errno_name(errno));
  return 1;
}

int cmd_lock(int argc, char **argv) {
  bool shared = argc == 3 && strcmp(argv[2], "shared") == 0;
  if (argc != 2 && !shared) {
    fprintf(stderr, "usage: lock FILE [shared]\n");
    return 2;
  }
  int fd = open(argv[1], O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return trouble("open", argv[1]);
  while (flock(fd, shared ? LOCK_SH : LOCK_EX) < 0) {
    if (errno != EINTR) return trouble("flock", argv[1]);
  }
  if (write_all(1, "locked\n", 7) < 0) return trouble("write", argv[1]);
  char sink[256];
  for (;;) {
    ssize_t got = read(0, sink, sizeof sink);
    if (got == 0) return 0;
    if (got < 0 && errno != EINTR) return trouble("read", argv[1]);
  }
}

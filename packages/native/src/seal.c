/* This program, run from a copy in memory that nobody can write to. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base.h"
#include "commands.h"
#include "sys.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif
enum { SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE };

static int copy(int from) {
  if (switched_off("memfd")) return -1;
  int to = memfd_create("mayfly-native", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
  if (to < 0 && errno == EINVAL) to = memfd_create("mayfly-native", MFD_CLOEXEC | MFD_ALLOW_SEALING); /* before 6.3 */
  if (to < 0) return -1;
  struct stat st;
  if (fstat(from, &st)) goto bad;
  for (off_t left = st.st_size; left > 0;) {
    ssize_t n = sendfile(to, from, NULL, (size_t)left);
    if (n <= 0) goto bad;
    left -= n;
  }
  if (fcntl(to, F_ADD_SEALS, SEALS)) goto bad;
  return to;
bad:
  close(to);
  return -1;
}

int seal_self(char **argv, char **env) {
  int exe = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  if (exe < 0) return -1;
  int seals = fcntl(exe, F_GET_SEALS);
  if (seals >= 0 && (seals & SEALS) == SEALS) {
    (void)prctl(PR_SET_NAME, "mayfly-native", 0L, 0L, 0L);
    return exe;
  }
  int sealed = copy(exe);
  close(exe);
  if (sealed < 0) return -1;
  (void)syscall(SYS_execveat, sealed, "", argv, env, AT_EMPTY_PATH);
  close(sealed);
  return -1;
}

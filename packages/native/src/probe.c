#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <sched.h>
#include <unistd.h>

#include "base.h"
#include "commands.h"

static char text[65536];

static const char *file(const char *path) {
  ssize_t got = read_file_at(AT_FDCWD, path, text, sizeof text);
  if (got < 0) return "";
  text[strcspn(text, "\n")] = '\0';
  return text;
}

static bool has_line(const char *path, const char *needle) {
  return read_file_at(AT_FDCWD, path, text, sizeof text) > 0 && strstr(text, needle) != NULL;
}

static const char *yes(bool value) { return value ? "yes" : "no"; }

static void cgroups(void) {
  struct statfs fs;
  bool v2 = statfs("/sys/fs/cgroup", &fs) == 0 && (unsigned long)fs.f_type == 0x63677270ul;
  bool hybrid = !v2 && access("/sys/fs/cgroup/unified/cgroup.procs", F_OK) == 0;
  printf("cgroup=%s\ncontrollers=", v2 ? "v2" : hybrid ? "hybrid" : "v1");
  if (v2) {
    printf("%s\n", file("/sys/fs/cgroup/cgroup.controllers"));
    return;
  }
  static const char *const known[] = { "cpu", "cpuset", "memory", "pids", "devices", "freezer", "blkio", "hugetlb" };
  bool first = true;
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    char path[64];
    snprintf(path, sizeof path, "/sys/fs/cgroup/%s/cgroup.procs", known[i]);
    if (access(path, F_OK) != 0) continue;
    printf("%s%s", first ? "" : " ", known[i]);
    first = false;
  }
  printf("\n");
}

/* Tried in a child: a user namespace cannot be left again. */
static bool user_namespace(void) {
  pid_t child = fork();
  if (child < 0) return false;
  if (child == 0) _exit(unshare(CLONE_NEWUSER) == 0 ? 0 : 1);
  int status;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return false;
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool executable(const char *name) {
  static const char *const where[] = { "/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin", "/sbin" };
  for (size_t i = 0; i < sizeof where / sizeof *where; i++) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", where[i], name);
    if (access(path, X_OK) == 0) return true;
  }
  return false;
}

static void sub_ids(void) {
  char by_id[32];
  snprintf(by_id, sizeof by_id, "%u:", (unsigned)getuid());
  const char *name = getenv("USER");
  FILE *in = fopen("/etc/subuid", "re");
  char line[256], found[256] = "";
  while (in != NULL && fgets(line, sizeof line, in) != NULL) {
    size_t length = name == NULL ? 0 : strlen(name);
    bool named = length > 0 && strncmp(line, name, length) == 0 && line[length] == ':';
    if (!named && strncmp(line, by_id, strlen(by_id)) != 0) continue;
    line[strcspn(line, "\n")] = '\0';
    snprintf(found, sizeof found, "%s", strchr(line, ':') + 1);
    break;
  }
  if (in != NULL) fclose(in);
  printf("subuid=%s\n", found);
}

int cmd_probe(int argc, char **argv) {
  (void)argv;
  if (argc != 1) {
    fprintf(stderr, "usage: probe\n");
    return 2;
  }
  struct utsname name;
  if (uname(&name) < 0) {
    fprintf(stderr, "probe: uname: %s\n", errno_name(errno));
    return 1;
  }
  printf("kernel=%s\narch=%s\n", name.release, name.machine);
  cgroups();
  printf("overlay=%s\n", yes(has_line("/proc/filesystems", "\toverlay\n")));
  printf("userns=%s\n", yes(user_namespace()));
  printf("max_user_namespaces=%s\n", file("/proc/sys/user/max_user_namespaces"));
  printf("apparmor_restrict_userns=%s\n", file("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"));
  printf("uid=%u\n", (unsigned)geteuid());
  const char *capabilities = "";
  if (has_line("/proc/self/status", "CapEff:\t")) {
    char *at = strstr(text, "CapEff:\t") + 8;
    at[strcspn(at, "\n")] = '\0';
    capabilities = at;
  }
  printf("capabilities=%s\n", capabilities);
  sub_ids();
  printf("newuidmap=%s\n", yes(executable("newuidmap")));
  printf("tun=%s\n", yes(access("/dev/net/tun", R_OK | W_OK) == 0));
  int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
  printf("pidfd=%s\n", yes(pidfd >= 0));
  if (pidfd >= 0) close(pidfd);
  /* A size of 0 is always invalid: EINVAL means that the call exists and is allowed. */
  printf("clone3=%s\n", yes(syscall(SYS_clone3, NULL, 0) < 0 && errno == EINVAL));
  struct open_how how = { .flags = O_PATH };
  int root = (int)syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof how);
  printf("openat2=%s\n", yes(root >= 0));
  if (root >= 0) close(root);
  return fflush(stdout) == 0 ? 0 : 1;
}

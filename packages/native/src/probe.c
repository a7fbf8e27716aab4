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
#include <sys/xattr.h>
#include <unistd.h>

#include "base.h"
#include "cgroup.h"
#include "probe.h"
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

/* "setuid", "capabilities" (as Fedora installs them), "plain", which is of no use, or "no". */
static void mapper(const char *name) {
  static const char *const where[] = { "/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin", "/sbin" };
  const char *found = "no", *at = "";
  char path[128];
  for (size_t i = 0; i < sizeof where / sizeof *where && !*at; i++) {
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", where[i], name);
    if (access(path, X_OK) != 0 || stat(path, &st) < 0) continue;
    at = path;
    if (st.st_uid == 0 && st.st_mode & S_ISUID) found = "setuid";
    else found = getxattr(path, "security.capability", NULL, 0) > 0 ? "capabilities" : "plain";
  }
  printf("%s=%s%s%s\n", name, found, *at ? " " : "", at);
}

static const char *status_of(const char *name, const char *otherwise) {
  char needle[32];
  snprintf(needle, sizeof needle, "\n%s:\t", name);
  if (!has_line("/proc/self/status", needle)) return otherwise;
  char *at = strstr(text, needle) + strlen(needle);
  at[strcspn(at, "\n")] = '\0';
  return at;
}

static const char *container(void) {
  if (access("/.dockerenv", F_OK) == 0) return "docker";
  if (access("/run/.containerenv", F_OK) == 0) return "podman";
  const char *named = getenv("container");
  return named == NULL ? "" : named;
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
  struct cgroups delegated;
  cgroups_discover(&delegated, "probe");
  printf("delegated=%s\n", delegated.available);
  char own[64] = "";
  (void)(readlink("/proc/self/ns/user", own, sizeof own - 1) + 1);
  /* The kernel's own number for the first namespace (PROC_USER_INIT_INO). */
  printf("initial_userns=%s\n", yes(strcmp(own, "user:[4026531837]") == 0));
  probe_user();
  printf("max_user_namespaces=%s\n", file("/proc/sys/user/max_user_namespaces"));
  printf("unprivileged_userns_clone=%s\n", file("/proc/sys/kernel/unprivileged_userns_clone"));
  printf("apparmor_restrict_userns=%s\n", file("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"));
  printf("uid=%u\n", (unsigned)geteuid());
  printf("capabilities=%s\n", status_of("CapEff", ""));
  printf("no_new_privs=%s\n", status_of("NoNewPrivs", "0"));
  printf("seccomp=%s\n", status_of("Seccomp", "0"));
  printf("container=%s\n", container());
  mapper("newuidmap");
  mapper("newgidmap");
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

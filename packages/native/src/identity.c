/* Who the process is and what it may do; and the exec that ends every list. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ops.h"
#include "sys.h"

int op_groups(struct child *c, struct reader *r) {
  uint16_t n = get_u16(r);
  gid_t *list = xalloc(((size_t)n + 1) * sizeof *list);
  for (uint16_t i = 0; i < n; i++) list[i] = get_u32(r);
  if (r->bad) return 0;
  int result = setgroups(n, list);
  free(list);
  return result ? fail(&c->failure, "groups", "", "setgroups") : 0;
}

int op_user(struct child *c, struct reader *r) {
  uid_t uid = get_u32(r);
  gid_t gid = get_u32(r);
  if (r->bad) return 0;
  c->uid = uid;
  /* Images open /dev/stdout again by its path, so the pipes must be the user's. */
  for (int fd = 0; fd < 3; fd++) {
    struct stat st;
    if (!fstat(fd, &st) && (S_ISFIFO(st.st_mode) || isatty(fd)) && fchown(fd, uid, (gid_t)-1) && errno != EPERM)
      return fail(&c->failure, "user", "", "fchown");
  }
  if (uid && c->caps_set && c->caps_ambient && prctl(PR_SET_KEEPCAPS, 1L, 0L, 0L, 0L))
    return fail(&c->failure, "user", "", "PR_SET_KEEPCAPS");
  if (setresgid(gid, gid, gid)) return fail(&c->failure, "user", "", "setresgid");
  if (setresuid(uid, uid, uid)) return fail(&c->failure, "user", "", "setresuid");
  return 0;
}

int op_capabilities(struct child *c, struct reader *r) {
  uint64_t bounding = get_u64(r);
  c->caps_effective = get_u64(r);
  c->caps_inheritable = get_u64(r);
  c->caps_ambient = get_u64(r);
  if (r->bad) return 0;
  c->caps_set = true;
  for (unsigned long cap = 0; cap < 64; cap++) {
    if (bounding >> cap & 1) continue;
    if (prctl(PR_CAPBSET_DROP, cap, 0L, 0L, 0L) == 0) continue;
    if (errno == EINVAL) break; /* beyond the kernel's last capability */
    return fail(&c->failure, "capabilities", "", "PR_CAPBSET_DROP");
  }
  return 0;
}

int apply_capabilities(struct child *c) {
  if (!c->caps_set) return 0;
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct have[2], want[2];
  if (syscall(SYS_capget, &header, have)) return -1;
  for (unsigned i = 0; i < 2; i++) {
    uint32_t keep = (uint32_t)((c->uid ? c->caps_ambient : c->caps_effective) >> (32 * i)) & have[i].permitted;
    want[i].effective = want[i].permitted = keep;
    want[i].inheritable = (uint32_t)((c->caps_inheritable | c->caps_ambient) >> (32 * i));
  }
  if (syscall(SYS_capset, &header, want)) return -1;
  for (unsigned long cap = 0; cap < 64; cap++)
    if (c->caps_ambient >> cap & 1 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0L, 0L)) return -1;
  return 0;
}

int op_seccomp(struct child *c, struct reader *r) {
  uint32_t n;
  const uint8_t *program = get_bytes(r, &n);
  if (r->bad) return 0;
  if (!n || n % sizeof(struct sock_filter) || n / sizeof(struct sock_filter) > BPF_MAXINSNS)
    return fail_with(&c->failure, EINVAL, "seccomp", "", "program length");
  struct sock_filter *filter = xalloc(n);
  memcpy(filter, program, n);
  struct sock_fprog prog = {.len = (unsigned short)(n / sizeof *filter), .filter = filter};
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0u, &prog)) return fail(&c->failure, "seccomp", "", "seccomp");
  free(filter);
  return 0;
}

int op_rlimit(struct child *c, struct reader *r) {
  uint32_t resource = get_u32(r);
  struct rlimit limit = {.rlim_cur = get_u64(r)};
  limit.rlim_max = get_u64(r);
  if (r->bad) return 0;
  /* EPERM when raising: CAP_SYS_RESOURCE can be missing, and a default must not forbid the start. */
  if (setrlimit((int)resource, &limit) && errno != EPERM) return fail(&c->failure, "rlimit", "", "setrlimit");
  return 0;
}

int op_join(struct child *c) {
  if (cgroups_join(c->cgroups, c->cgroup_fds, &c->failure)) return -1;
  const int namespaces = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
  if (setns(c->join_pidfd, namespaces)) return fail(&c->failure, "join", "", "setns");
  c->root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  return c->root_fd < 0 ? fail(&c->failure, "join", "/", "open") : 0;
}

static const char *path_of(char **env) {
  for (; env && *env; env++)
    if (!strncmp(*env, "PATH=", 5)) return *env + 5;
  return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

int op_exec(struct child *c) {
  static char *none[] = {NULL};
  char **env = c->env ? c->env : none;
  if (!c->argv || !c->argv[0] || !*c->argv[0]) return fail_with(&c->failure, ENOENT, "exec", "", "no command");
  const char *file = c->argv[0];
  if (apply_capabilities(c)) return fail(&c->failure, "capabilities", "", "capset");
  if (sys_close_range(3, ~0u, CLOSE_RANGE_CLOEXEC)) return fail(&c->failure, "exec", file, "close_range");
  if (strchr(file, '/')) {
    execve(file, c->argv, env);
    return fail(&c->failure, "exec", file, "execve");
  }
  int worst = ENOENT;
  for (const char *p = path_of(env); *p;) {
    size_t n = strcspn(p, ":");
    char candidate[PATH_MAX];
    if (n && n + strlen(file) + 2 < sizeof candidate) {
      snprintf(candidate, sizeof candidate, "%.*s/%s", (int)n, p, file);
      execve(candidate, c->argv, env);
      if (errno != ENOENT && errno != ENOTDIR) worst = errno;
    }
    p += n + (p[n] == ':');
  }
  return fail_with(&c->failure, worst, "exec", file, "execve");
}

#include "ops.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inject.h"
#include "sys.h"

static const char *const names[OP_LAST] = {
  [OP_CGROUP] = "cgroup", [OP_LOOPBACK] = "loopback", [OP_VETH] = "veth", [OP_HOSTNAME] = "hostname",
  [OP_ROOTFS] = "rootfs", [OP_BINDROOT] = "bindroot", [OP_MKDIR] = "mkdir", [OP_FILE] = "file",
  [OP_SYMLINK] = "symlink", [OP_DEVICE] = "device", [OP_MOUNT_PROC] = "mount.proc",
  [OP_MOUNT_SYSFS] = "mount.sysfs", [OP_MOUNT_TMPFS] = "mount.tmpfs", [OP_MOUNT_DEVPTS] = "mount.devpts",
  [OP_MOUNT_MQUEUE] = "mount.mqueue", [OP_MOUNT_BIND] = "mount.bind", [OP_MOUNT_CGROUP] = "mount.cgroup",
  [OP_MASK] = "mask", [OP_READONLY] = "readonly", [OP_PIVOT] = "pivot", [OP_SYSCTL] = "sysctl",
  [OP_UMASK] = "umask", [OP_RLIMIT] = "rlimit", [OP_CHDIR] = "chdir", [OP_GROUPS] = "groups", [OP_USER] = "user",
  [OP_CAPABILITIES] = "capabilities", [OP_NONEWPRIVS] = "nonewprivs", [OP_SECCOMP] = "seccomp",
  [OP_JOIN] = "join", [OP_ENV] = "env", [OP_ARGV] = "argv", [OP_EXEC] = "exec", [OP_AWAIT] = "await",
  [OP_OOMSCORE] = "oomscore", [OP_TERMINAL] = "terminal", [OP_STAGE] = "stage", [OP_MOUNT_MOVE] = "mount.move",
  [OP_ROOTFS_COPY] = "rootfs.copy", [OP_ROOTFS_FUSE] = "rootfs.fuse",
  [OP_ENTER] = "enter", [OP_TIME] = "time", [OP_DOMAINNAME] = "domainname", [OP_INIT] = "init",
  [OP_MOUNT_PEER] = "mount.peer", [OP_DEVICES] = "devices", [OP_LINK] = "link", [OP_LEAVE] = "leave",
  [OP_NOTIFY] = "notify",
  [OP_FILES] = "files", [OP_COPY_OUT] = "copy.out", [OP_COPY_IN] = "copy.in",
  [OP_ROOTFS_AGAIN] = "rootfs.again",
};

const char *op_name(uint16_t op) { return op > 0 && op < OP_LAST && names[op] ? names[op] : "unknown"; }

static bool ends(uint16_t op) {
  return op == OP_EXEC || op == OP_AWAIT || op == OP_LEAVE || op == OP_COPY_OUT || op == OP_COPY_IN;
}

bool ops_have(const uint8_t *data, size_t length, uint16_t wanted) {
  struct reader r = reader_of(data, length);
  while (r.at < r.end && !r.bad) {
    uint16_t op = get_u16(&r);
    (void)get_u16(&r);
    uint32_t n;
    (void)get_bytes(&r, &n);
    if (op == wanted) return true;
  }
  return false;
}

int ops_check(const uint8_t *data, size_t length, struct failure *f) {
  struct reader r = reader_of(data, length);
  uint16_t op = 0;
  for (uint32_t index = 0; r.at < r.end; index++) {
    op = get_u16(&r);
    (void)get_u16(&r);
    uint32_t n;
    (void)get_bytes(&r, &n);
    if (r.bad || op == 0 || op >= OP_LAST || !names[op]) {
      fail_with(f, EBADMSG, op_name(op), "", "decode");
      f->index = index;
      return -1;
    }
    if (ends(op) && r.at < r.end) {
      fail_with(f, EBADMSG, op_name(op), "", "operations after the last");
      f->index = index;
      return -1;
    }
  }
  if (ends(op)) return 0;
  return fail_with(f, EBADMSG, "operations", "", "neither exec nor await at the end");
}

static char **read_strings(struct reader *r) {
  uint16_t n = get_u16(r);
  char **list = xalloc(((size_t)n + 1) * sizeof *list);
  for (uint16_t i = 0; i < n && !r->bad; i++) list[i] = get_str_dup(r);
  return list;
}

static int op_cgroup(struct child *c, struct reader *r) {
  uint8_t unshare_namespace = get_u8(r);
  if (cgroups_join(c->cgroups, c->cgroup_fds, &c->failure)) return -1;
  /* After joining: CLONE_NEWCGROUP at clone would show the supervisor's place as the root. */
  if (unshare_namespace && unshare(CLONE_NEWCGROUP)) return fail(&c->failure, "cgroup", "", "unshare");
  return 0;
}

static int op_hostname(struct child *c, struct reader *r) {
  char name[65];
  get_str(r, name, sizeof name);
  if (r->bad) return 0;
  return sethostname(name, strlen(name)) ? fail(&c->failure, "hostname", name, "sethostname") : 0;
}

static int op_domainname(struct child *c, struct reader *r) {
  char name[65];
  get_str(r, name, sizeof name);
  if (r->bad) return 0;
  return setdomainname(name, strlen(name)) ? fail(&c->failure, "domainname", name, "setdomainname") : 0;
}

static int op_oomscore(struct child *c, struct reader *r) {
  char text[16];
  snprintf(text, sizeof text, "%d", (int32_t)get_u32(r));
  int dir = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
  int result = dir < 0 ? -1 : write_file_at(dir, "oom_score_adj", text);
  int saved = errno;
  if (dir >= 0) close(dir);
  if (result && saved != EPERM && saved != EACCES) return fail_with(&c->failure, saved, "oomscore", text, "write");
  return 0;
}

static _Noreturn void report(struct child *c) {
  (void)write_all(c->error_fd, &c->failure, sizeof c->failure);
  _exit(127);
}

static int carry_out(struct child *c, uint16_t op, struct reader *r) {
  switch (op) {
    case OP_CGROUP: return op_cgroup(c, r);
    case OP_LOOPBACK: return op_loopback(c);
    case OP_VETH: return op_veth(c, r);
    case OP_LINK: return op_link(c, r);
    case OP_LEAVE: _exit(0);
    case OP_HOSTNAME: return op_hostname(c, r);
    case OP_ROOTFS: return op_rootfs(c, r);
    case OP_BINDROOT: return op_bindroot(c, r);
    case OP_MKDIR: return op_mkdir(c, r);
    case OP_FILE: return op_file(c, r);
    case OP_SYMLINK: return op_symlink(c, r);
    case OP_DEVICE: return op_device(c, r);
    case OP_MOUNT_PROC: case OP_MOUNT_SYSFS: case OP_MOUNT_TMPFS: case OP_MOUNT_DEVPTS: case OP_MOUNT_MQUEUE:
      return op_mount_plain(c, r, op);
    case OP_MOUNT_BIND: return op_mount_bind(c, r);
    case OP_MOUNT_CGROUP: return op_mount_cgroup(c, r);
    case OP_MASK: return op_mask(c, r);
    case OP_READONLY: return op_readonly(c, r);
    case OP_PIVOT: return op_pivot(c, r);
    case OP_SYSCTL: return op_sysctl(c, r);
    case OP_UMASK: umask((mode_t)(get_u32(r) & 0777)); return 0;
    case OP_RLIMIT: return op_rlimit(c, r);
    case OP_CHDIR: return op_chdir(c, r);
    case OP_GROUPS: return op_groups(c, r);
    case OP_USER: return op_user(c, r);
    case OP_CAPABILITIES: return op_capabilities(c, r);
    case OP_NONEWPRIVS:
      return prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) ? fail(&c->failure, "nonewprivs", "", "prctl") : 0;
    case OP_SECCOMP: return op_seccomp(c, r);
    case OP_JOIN: return op_join(c);
    case OP_ENV: c->env = read_strings(r); return 0;
    case OP_ARGV: c->argv = read_strings(r); return 0;
    case OP_EXEC: return op_exec(c);
    case OP_OOMSCORE: return op_oomscore(c, r);
    case OP_TERMINAL: return op_terminal(c, r);
    case OP_STAGE: return op_stage(c);
    case OP_MOUNT_MOVE: return op_mount_move(c, r);
    case OP_ROOTFS_COPY: return op_rootfs_copy(c, r);
    case OP_ROOTFS_FUSE: return op_rootfs_fuse(c);
    case OP_ENTER: return op_enter(c, r);
    case OP_TIME: return op_time(c, r);
    case OP_DOMAINNAME: return op_domainname(c, r);
    case OP_INIT: return op_init(c);
    case OP_MOUNT_PEER: return op_mount_peer(c, r);
    case OP_DEVICES: return op_devices(c, r);
    case OP_NOTIFY: return op_notify(c, r);
    case OP_ROOTFS_AGAIN: return op_rootfs_again(c);
    case OP_FILES: return op_files(c);
    case OP_COPY_OUT: return op_copy_out(c, r);
    case OP_COPY_IN: return op_copy_in(c, r);
    default: return fail_with(&c->failure, EBADMSG, op_name(op), "", "decode");
  }
}

/* What an exec would close, and no operation after `pivot` asks for: there are dozens, the supervisor's own, and the start
   that is waited for had to close them. */
static void let_go(const struct child *c) {
  const int kept[] = {c->error_fd, c->control_fd, c->self_fd, c->root_fd, c->terminal_fd, c->notify_fd};
  for (unsigned from = 3; from != ~0u;) {
    unsigned next = ~0u;
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
      if (kept[i] >= 0 && (unsigned)kept[i] >= from && (unsigned)kept[i] < next) next = (unsigned)kept[i];
    if (next > from) (void)sys_close_range(from, next == ~0u ? next : next - 1, 0);
    from = next == ~0u ? next : next + 1;
  }
}

/* `await`: tells the supervisor, then reads the rest from the control pipe: u32 length, list. */
static uint8_t *await_rest(struct child *c, size_t *length) {
  struct failure waiting = {.index = NO_INDEX, .operation = "await"};
  if (write_all(c->error_fd, &waiting, sizeof waiting)) _exit(127);
  uint32_t n = 0;
  uint8_t *data = NULL;
  for (size_t have = 0, want = sizeof n; have < want;) {
    uint8_t *at = data ? data + have - sizeof n : (uint8_t *)&n + have;
    ssize_t got = read(c->control_fd, at, want - have);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) _exit(127);
    have += (size_t)got;
    if (!data && have == sizeof n) {
      data = xalloc(n);
      want += n;
    }
  }
  *length = n;
  return data;
}

void ops_run(struct child *c, const uint8_t *data, size_t length) {
  struct reader r = reader_of(data, length);
  bool pivoted = false;
  for (uint32_t index = 0; r.at < r.end; index++) {
    uint16_t op = get_u16(&r);
    (void)get_u16(&r);
    uint32_t n;
    const uint8_t *fields = get_bytes(&r, &n);
    if (r.bad) break;
    STEP(c->join_pidfd < 0 ? INJECT_START : INJECT_EXEC);
    if (op == OP_AWAIT) {
      if (pivoted) let_go(c);
      data = await_rest(c, &length);
      r = reader_of(data, length);
      index = NO_INDEX; /* the rest counts from 0 again */
      continue;
    }
    pivoted = pivoted || op == OP_PIVOT;
    struct reader inner = reader_of(fields, n);
    int result = carry_out(c, op, &inner);
    if (!result && (inner.bad || inner.at != inner.end))
      result = fail_with(&c->failure, EBADMSG, op_name(op), "", "decode");
    if (result) {
      c->failure.index = index;
      report(c);
    }
  }
  fail_with(&c->failure, EBADMSG, "operations", "", "decode");
  report(c);
}

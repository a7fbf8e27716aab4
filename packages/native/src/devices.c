/* Which devices a container may open: on cgroup v2 a BPF program, written by the client; v1 has files for it. */
#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ops.h"
#include "sys.h"

static int load(const void *program, size_t length) {
  union bpf_attr attr = {.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE};
  attr.insns = (uint64_t)(uintptr_t)program;
  attr.insn_cnt = (uint32_t)(length / sizeof(struct bpf_insn));
  attr.license = (uint64_t)(uintptr_t)"MIT";
  return (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr);
}

const char *devices_control(const struct cgroups *g, bool rootless) {
  /* Rules are root's to make; a user's container opens what its user may open anyway. */
  if (rootless) return "none";
  for (size_t i = 0; i < g->count; i++)
    if (strstr(g->list[i].controllers, "devices")) return "v1";
  if (!g->count || g->list[0].controllers[0]) return "none";
  if (switched_off("bpf")) return "none";
  static const struct bpf_insn refuse[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K}, {.code = BPF_JMP | BPF_EXIT}};
  int fd = load(refuse, sizeof refuse);
  if (fd < 0) return "none";
  close(fd);
  return "bpf";
}

int op_devices(struct child *c, struct reader *r) {
  uint32_t n;
  const uint8_t *bytes = get_bytes(r, &n);
  if (r->bad) return 0;
  if (!n || n % sizeof(struct bpf_insn) || c->cgroup_fds[0] < 0)
    return fail_with(&c->failure, EINVAL, "devices", "", "program length");
  void *program = xalloc(n); /* the list's bytes are not aligned */
  memcpy(program, bytes, n);
  int fd = load(program, n);
  free(program);
  if (fd < 0) return fail(&c->failure, "devices", "", "BPF_PROG_LOAD");
  union bpf_attr attr = {.target_fd = (uint32_t)c->cgroup_fds[0]};
  attr.attach_bpf_fd = (uint32_t)fd;
  attr.attach_type = BPF_CGROUP_DEVICE;
  attr.attach_flags = BPF_F_ALLOW_MULTI; /* beside what systemd attached above */
  if (syscall(SYS_bpf, BPF_PROG_ATTACH, &attr, sizeof attr)) return fail(&c->failure, "devices", "", "BPF_PROG_ATTACH");
  close(fd);
  return 0;
}

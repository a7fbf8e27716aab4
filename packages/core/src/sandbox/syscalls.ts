/** System call numbers, from the kernel's tables: x86 syscall_64.tbl and syscall_32.tbl, asm-generic/unistd.h. */
export type Architecture = 'x86_64' | 'i386' | 'aarch64'

/** Calls that reach beyond the container, whatever capabilities it has; everything Docker's profile withholds. */
export const DENIED: readonly string[] = [
  'acct', 'add_key', 'bpf', 'clock_adjtime', 'clock_settime', 'create_module', 'delete_module',
  'finit_module', 'get_kernel_syms', 'get_mempolicy', 'init_module', 'ioperm', 'iopl', 'kcmp',
  'kexec_file_load', 'kexec_load', 'keyctl', 'lookup_dcookie', 'mbind', 'mount', 'move_pages', 'nfsservctl',
  'open_by_handle_at', 'perf_event_open', 'pivot_root', 'query_module', 'quotactl', 'reboot', 'request_key',
  'set_mempolicy', 'setns', 'settimeofday', 'swapon', 'swapoff', '_sysctl', 'umount2', 'unshare', 'uselib',
  'userfaultfd', 'ustat', 'sysfs', 'syslog', 'vhangup', 'fanotify_init', 'stime', 'umount', 'vm86',
  'vm86old', 'clock_settime64', 'clock_adjtime64', 'io_uring_setup', 'io_uring_enter', 'io_uring_register',
  'open_tree', 'move_mount', 'fsopen', 'fsconfig', 'fsmount', 'fspick', 'pidfd_getfd', 'mount_setattr',
  'quotactl_fd', 'set_mempolicy_home_node',
]

/** From Linux 5.1 on, new calls have one number on all architectures. */
const SHARED: Readonly<Record<string, number>> = {
  io_uring_setup: 425, io_uring_enter: 426, io_uring_register: 427, open_tree: 428, move_mount: 429,
  fsopen: 430, fsconfig: 431, fsmount: 432, fspick: 433, pidfd_getfd: 438, mount_setattr: 442,
  quotactl_fd: 443, set_mempolicy_home_node: 450,
}

export interface SyscallTable {
  /** AUDIT_ARCH_* of linux/audit.h */
  readonly audit: number
  /** The newest call known here; what is newer does not exist in a container. */
  readonly last: number
  readonly numbers: Readonly<Record<string, number>>
}

export const SYSCALLS: Readonly<Record<Architecture, SyscallTable>> = {
  x86_64: {
    audit: 0xc000003e,
    last: 462,
    numbers: {
      ...SHARED,
      acct: 163, add_key: 248, bpf: 321, clock_adjtime: 305, clock_settime: 227, create_module: 174,
      delete_module: 176, finit_module: 313, get_kernel_syms: 177, get_mempolicy: 239, init_module: 175,
      ioperm: 173, iopl: 172, kcmp: 312, kexec_file_load: 320, kexec_load: 246, keyctl: 250,
      lookup_dcookie: 212, mbind: 237, mount: 165, move_pages: 279, nfsservctl: 180, open_by_handle_at: 304,
      perf_event_open: 298, pivot_root: 155, query_module: 178, quotactl: 179, reboot: 169,
      request_key: 249, set_mempolicy: 238, setns: 308, settimeofday: 164, swapon: 167, swapoff: 168,
      _sysctl: 156, umount2: 166, unshare: 272, uselib: 134, userfaultfd: 323, ustat: 136, sysfs: 139,
      syslog: 103, vhangup: 153, fanotify_init: 300, clone: 56, socket: 41,
    },
  },
  i386: {
    audit: 0x40000003,
    last: 462,
    numbers: {
      ...SHARED,
      acct: 51, add_key: 286, bpf: 357, clock_adjtime: 343, clock_settime: 264, create_module: 127,
      delete_module: 129, finit_module: 350, get_kernel_syms: 130, get_mempolicy: 275, init_module: 128,
      ioperm: 101, iopl: 110, kcmp: 349, kexec_load: 283, keyctl: 288, lookup_dcookie: 253, mbind: 274,
      mount: 21, move_pages: 317, nfsservctl: 169, open_by_handle_at: 342, perf_event_open: 336,
      pivot_root: 217, query_module: 167, quotactl: 131, reboot: 88, request_key: 287, set_mempolicy: 276,
      setns: 346, settimeofday: 79, stime: 25, swapon: 87, swapoff: 115, _sysctl: 149, umount: 22,
      umount2: 52, unshare: 310, uselib: 86, userfaultfd: 374, ustat: 62, vm86: 166, vm86old: 113,
      sysfs: 135, syslog: 103, vhangup: 111, fanotify_init: 338, clone: 120, socket: 359,
      clock_settime64: 404, clock_adjtime64: 405,
    },
  },
  aarch64: {
    audit: 0xc00000b7,
    last: 462,
    numbers: {
      ...SHARED,
      acct: 89, add_key: 217, bpf: 280, clock_adjtime: 266, clock_settime: 112, delete_module: 106,
      finit_module: 273, get_mempolicy: 236, init_module: 105, kcmp: 272, kexec_file_load: 294,
      kexec_load: 104, keyctl: 219, lookup_dcookie: 18, mbind: 235, mount: 40, move_pages: 239,
      nfsservctl: 42, open_by_handle_at: 265, perf_event_open: 241, pivot_root: 41, quotactl: 60,
      reboot: 142, request_key: 218, set_mempolicy: 237, setns: 268, settimeofday: 170, swapon: 224,
      swapoff: 225, umount2: 39, unshare: 97, userfaultfd: 282, syslog: 116, vhangup: 58,
      fanotify_init: 262, clone: 220, socket: 198,
    },
  },
}

import { hasCapability } from './capabilities.js'

/** What the filter answers to a system call. */
export type Verdict = 'allow' | 'deny' | 'unknown' | 'clone' | 'socket' | 'personality'

export interface Architecture {
  /** AUDIT_ARCH_* of the kernel's headers. */
  readonly audit: number
  /** Half-open ranges of numbers that are calls we know; all others answer ENOSYS. */
  readonly known: readonly (readonly [number, number])[]
  /** Numbers of the calls that are not simply allowed. */
  readonly numbers: Readonly<Record<string, number>>
}

const SHARED = {
  io_uring_setup: 425, io_uring_enter: 426, io_uring_register: 427, open_tree: 428, move_mount: 429, fsopen: 430,
  fsconfig: 431, fsmount: 432, fspick: 433, clone3: 435, pidfd_getfd: 438, process_madvise: 440, mount_setattr: 442,
  quotactl_fd: 443, set_mempolicy_home_node: 450, statmount: 457, listmount: 458, lsm_get_self_attr: 459,
  lsm_set_self_attr: 460, lsm_list_modules: 461,
}

export const ARCHITECTURES: Readonly<Record<string, Architecture>> = {
  x64: {
    audit: 0xc000003e,
    known: [[0, 335], [424, 463]],
    numbers: {
      ...SHARED, socket: 41, clone: 56, ptrace: 101, syslog: 103, uselib: 134, personality: 135, ustat: 136, sysfs: 139,
      vhangup: 153, pivot_root: 155, _sysctl: 156, chroot: 161, acct: 163, settimeofday: 164, mount: 165, umount2: 166,
      swapon: 167, swapoff: 168, reboot: 169, sethostname: 170, setdomainname: 171, iopl: 172, ioperm: 173,
      create_module: 174, init_module: 175, delete_module: 176, get_kernel_syms: 177, query_module: 178, quotactl: 179,
      nfsservctl: 180, getpmsg: 181, putpmsg: 182, afs_syscall: 183, tuxcall: 184, security: 185, lookup_dcookie: 212,
      epoll_ctl_old: 214, epoll_wait_old: 215, clock_settime: 227, vserver: 236, mbind: 237, set_mempolicy: 238,
      get_mempolicy: 239, kexec_load: 246, add_key: 248, request_key: 249, keyctl: 250, migrate_pages: 256,
      unshare: 272, move_pages: 279, perf_event_open: 298, fanotify_init: 300, open_by_handle_at: 304, setns: 308,
      kcmp: 312, finit_module: 313, kexec_file_load: 320, bpf: 321, userfaultfd: 323,
    },
  },
  arm64: {
    audit: 0xc00000b7,
    known: [[0, 244], [260, 295], [424, 463]],
    numbers: {
      ...SHARED, lookup_dcookie: 18, umount2: 39, mount: 40, pivot_root: 41, nfsservctl: 42, chroot: 51, vhangup: 58,
      quotactl: 60, acct: 89, personality: 92, unshare: 97, kexec_load: 104, init_module: 105, delete_module: 106,
      clock_settime: 112, syslog: 116, ptrace: 117, reboot: 142, sethostname: 161, setdomainname: 162,
      settimeofday: 170, socket: 198, add_key: 217, request_key: 218, keyctl: 219, clone: 220, swapon: 224,
      swapoff: 225, mbind: 235, get_mempolicy: 236, set_mempolicy: 237, migrate_pages: 238, move_pages: 239,
      perf_event_open: 241, fanotify_init: 262, open_by_handle_at: 265, setns: 268, kcmp: 272, finit_module: 273,
      bpf: 280, userfaultfd: 282, kexec_file_load: 294,
    },
  },
}

type Capability = Parameters<typeof hasCapability>[1]

/** A capability that makes its calls useful, and so permitted. */
const WITH: Readonly<Partial<Record<Capability, readonly string[]>>> = {
  SYS_ADMIN: [
    'bpf', 'clone', 'clone3', 'fanotify_init', 'fsconfig', 'fsmount', 'fsopen', 'fspick', 'lookup_dcookie', 'mount',
    'mount_setattr', 'move_mount', 'open_tree', 'perf_event_open', 'pivot_root', 'quotactl', 'quotactl_fd', 'setdomainname',
    'sethostname', 'setns', 'statmount', 'listmount', 'syslog', 'umount2', 'unshare',
  ],
  BPF: ['bpf'],
  DAC_READ_SEARCH: ['open_by_handle_at'],
  PERFMON: ['perf_event_open'],
  SYS_BOOT: ['reboot'],
  SYS_CHROOT: ['chroot'],
  SYS_MODULE: ['delete_module', 'init_module', 'finit_module'],
  SYS_NICE: ['get_mempolicy', 'mbind', 'set_mempolicy', 'set_mempolicy_home_node', 'migrate_pages', 'move_pages'],
  SYS_PACCT: ['acct'],
  SYS_PTRACE: ['kcmp', 'pidfd_getfd', 'process_madvise', 'ptrace'],
  SYS_RAWIO: ['iopl', 'ioperm'],
  SYS_TIME: ['settimeofday', 'clock_settime'],
  SYS_TTY_CONFIG: ['vhangup'],
  SYSLOG: ['syslog'],
}

/** Kernels since 4.8 close the way around seccomp that made ptrace dangerous; debuggers need it. */
const ALWAYS = ['ptrace']

/** The verdict on every call of the table, for a container with these capabilities. */
export function verdicts({ numbers }: Architecture, capabilities: bigint): Map<number, Verdict> {
  const allowed = new Set(ALWAYS)
  for (const [name, calls = []] of Object.entries(WITH)) {
    if (hasCapability(capabilities, name as Capability)) for (const call of calls) allowed.add(call)
  }
  return new Map(Object.entries(numbers).map(([name, number]) => [number, verdict(name, allowed)]))
}

function verdict(name: string, allowed: ReadonlySet<string>): Verdict {
  if (name === 'socket' || name === 'personality') return name
  if (allowed.has(name)) return 'allow'
  if (name === 'clone') return 'clone'
  // The C library falls back to clone, whose flags a filter can read.
  return name === 'clone3' ? 'unknown' : 'deny'
}

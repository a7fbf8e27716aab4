import { hasCapability, type Capability } from '../capabilities.js'
import type { Abi } from './abi.js'
import type { Condition, Section, Verdict } from './assemble.js'

export const ALLOW = 0x7fff0000
export const ERRNO = 0x50000
export const EPERM = 1
const ENOSYS = 38

/** Docker's exceptions: what reaches the whole machine, is attack surface without use in a container, or long obsolete. */
const DENIED = words(`
  _sysctl acct add_key afs_syscall bdflush bpf break clock_settime clock_settime64 create_module delete_module epoll_ctl_old
  epoll_wait_old fanotify_init finit_module fsconfig fsmount fsopen fspick ftime get_kernel_syms get_mempolicy getpmsg
  gtty idle init_module io_uring_enter io_uring_register io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load
  keyctl listmount lock lookup_dcookie lsm_get_self_attr lsm_list_modules lsm_set_self_attr mbind migrate_pages mount
  mount_setattr move_mount move_pages mpx nfsservctl open_by_handle_at open_tree open_tree_attr perf_event_open
  pidfd_getfd pivot_root process_madvise prof profil putpmsg query_module quotactl quotactl_fd reboot request_key
  security set_mempolicy set_mempolicy_home_node setdomainname sethostname setns settimeofday statmount stime stty
  swapoff swapon sysfs syslog tuxcall ulimit umount umount2 unshare uselib userfaultfd ustat vhangup vm86 vm86old vserver`)

/** A capability that makes its calls useful, and so permitted. */
const WITH: Readonly<Partial<Record<Capability, readonly string[]>>> = {
  SYS_ADMIN: words(`
    bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr move_mount open_tree
    open_tree_attr perf_event_open pivot_root quotactl quotactl_fd setdomainname sethostname setns statmount listmount
    syslog umount umount2 unshare`),
  BPF: ['bpf'],
  DAC_READ_SEARCH: ['open_by_handle_at'],
  PERFMON: ['perf_event_open'],
  SYS_BOOT: ['reboot'],
  SYS_CHROOT: ['chroot'],
  SYS_MODULE: ['delete_module', 'init_module', 'finit_module'],
  SYS_NICE: words('get_mempolicy mbind set_mempolicy set_mempolicy_home_node migrate_pages move_pages'),
  SYS_PACCT: ['acct'],
  SYS_PTRACE: ['kcmp', 'pidfd_getfd', 'process_madvise'],
  SYS_RAWIO: ['iopl', 'ioperm'],
  SYS_TIME: ['settimeofday', 'stime', 'clock_settime', 'clock_settime64'],
  SYS_TTY_CONFIG: ['vhangup'],
  SYSLOG: ['syslog'],
}

/** Every CLONE_NEW* flag that clone takes. */
const NAMESPACE_FLAGS = 0x7e020000n
/** AF_ALG and AF_VSOCK: kernel attack surface, and a way past the network namespace. */
const REFUSED_FAMILIES = [38n, 40n]
/** Linux, UNAME26, no randomisation, both, and the question for the current one. */
const PERSONALITIES = [0x0n, 0x8n, 0x20000n, 0x20008n, 0xffffffffn]

const allow: Verdict = { rules: [], otherwise: ALLOW }
const deny: Verdict = { rules: [], otherwise: ERRNO | EPERM }
const unknown: Verdict = { rules: [], otherwise: ERRNO | ENOSYS }
const first = (compare: Condition['compare'], value: bigint, mask?: bigint): Condition => ({ argument: 0, compare, value, mask, int: true })

const SPECIAL: Readonly<Record<string, Verdict>> = {
  chroot: deny,
  clone: { rules: [{ conditions: [first('MASKED_EQ', 0n, NAMESPACE_FLAGS)], action: ALLOW }], otherwise: ERRNO | EPERM },
  // The C library falls back to clone, whose flags a filter can read.
  clone3: unknown,
  socket: { rules: REFUSED_FAMILIES.map((family) => ({ conditions: [first('EQ', family)], action: ERRNO | EPERM })), otherwise: ALLOW },
  // i386's way to every socket call hides the family behind a pointer: its SYS_SOCKET would undo the rule above.
  socketcall: { rules: [{ conditions: [first('EQ', 1n)], action: ERRNO | ENOSYS }], otherwise: ALLOW },
  personality: { rules: PERSONALITIES.map((one) => ({ conditions: [first('EQ', one)], action: ALLOW })), otherwise: ERRNO | EPERM },
}

/**
 * Docker's rules for a container with these capabilities: known calls are allowed but for the exceptions (EPERM), and those
 * that are newer than the table answer ENOSYS, so that programs fall back. x32, which nobody uses, has no section.
 */
export function dockerSections(abis: readonly Abi[], capabilities: bigint): Section[] {
  const granted = new Set(Object.entries(WITH)
    .flatMap(([name, calls]) => hasCapability(capabilities, name as Capability) ? calls : []))
  const verdict = (name: string): Verdict => granted.has(name) ? allow : SPECIAL[name] ?? (denied.has(name) ? deny : allow)
  return abis.filter(({ name }) => name !== 'SCMP_ARCH_X32').map((abi) => ({
    abi, unknown, verdicts: new Map([...abi.names].map(([number, name]) => [number, verdict(name)])),
  }))
}

const denied: ReadonlySet<string> = new Set(DENIED)

function words(text: string): string[] {
  return text.trim().split(/\s+/)
}

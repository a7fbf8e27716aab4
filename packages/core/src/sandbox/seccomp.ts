import { MayflyError } from '../errors.js'
import { hasCapability } from './capabilities.js'
import { DENIED, SYSCALLS, type Architecture } from './syscalls.js'

/** A BPF instruction: struct sock_filter of linux/filter.h. */
export interface Instruction {
  readonly code: number
  readonly jt: number
  readonly jf: number
  readonly k: number
}

const LD_ABS = 0x20
const JMP_JA = 0x05
const JMP_JEQ = 0x15
const JMP_JGE = 0x35
const JMP_JSET = 0x45
const RET = 0x06

const ALLOW = 0x7fff0000
const KILL = 0x80000000
const EPERM = 0x00050000 | 1
const ENOSYS = 0x00050000 | 38

const NUMBER = 0
const ARCH = 4
const ARGUMENT_0 = 16 // the low half: both architectures are little endian
const X32 = 0x40000000
/** CLONE_NEWTIME is not a clone flag: its bit belongs to the exit signal there. */
const NAMESPACES = 0x7e020000
const AF_ALG = 38
const AF_VSOCK = 40

/**
 * The essence of Docker's default profile: what reaches the kernel's administration is denied by EPERM, calls newer than
 * the table do not exist, clone may not make namespaces and clone3 (whose flags BPF cannot read) does not exist either,
 * so that C libraries fall back to clone. A binary search, which costs 0.1 ms to load where a list costs 0.26.
 */
export function seccompProgram(arch: string, bounding: bigint): Uint8Array {
  const known = programs.get(bounding)
  if (known !== undefined) return known
  const program = encode(assemble(architecturesOf(arch), bounding))
  programs.set(bounding, program)
  return program
}

const programs = new Map<bigint, Uint8Array>()

function architecturesOf(arch: string): readonly Architecture[] {
  if (arch === 'x64') return ['x86_64', 'i386']
  if (arch === 'arm64') return ['aarch64']
  throw new MayflyError('ERR_MAYFLY_UNSUPPORTED', `Mayfly has no system call table for ${arch}`, {
    hint: 'It runs on x64 and arm64.',
  })
}

/** The program as instructions, for tests that interpret it. */
export function assemble(architectures: readonly Architecture[], bounding: bigint): Instruction[] {
  const blocks = architectures.flatMap((architecture) => {
    const body = [load(NUMBER), ...search(intervals(architecture, bounding))]
    // Skipped as a whole by a jump of its own: a conditional one reaches only 255 instructions.
    return [jump(JMP_JEQ, SYSCALLS[architecture].audit, 1, 0), always(body.length), ...body]
  })
  return [load(ARCH), ...blocks, ret(KILL)]
}

/** Docker's profile gives back, with a capability, the calls that the kernel guards by it. */
const GRANTED: readonly (readonly [Parameters<typeof hasCapability>[1], readonly string[]])[] = [
  ['SYS_ADMIN', [
    'bpf', 'fanotify_init', 'fsconfig', 'fsmount', 'fsopen', 'fspick', 'lookup_dcookie', 'mount', 'mount_setattr',
    'move_mount', 'open_tree', 'perf_event_open', 'quotactl', 'quotactl_fd', 'setns', 'syslog', 'umount', 'umount2',
    'unshare',
  ]],
  ['BPF', ['bpf']],
  ['DAC_READ_SEARCH', ['open_by_handle_at']],
  ['PERFMON', ['perf_event_open']],
  ['SYSLOG', ['syslog']],
  ['SYS_BOOT', ['reboot']],
  ['SYS_MODULE', ['delete_module', 'finit_module', 'init_module']],
  ['SYS_NICE', ['get_mempolicy', 'mbind', 'set_mempolicy', 'set_mempolicy_home_node']],
  ['SYS_PACCT', ['acct']],
  ['SYS_PTRACE', ['kcmp', 'pidfd_getfd']],
  ['SYS_RAWIO', ['ioperm', 'iopl']],
  ['SYS_TIME', ['clock_adjtime', 'clock_adjtime64', 'clock_settime', 'clock_settime64', 'settimeofday', 'stime']],
  ['SYS_TTY_CONFIG', ['vhangup']],
]

type Action = 'allow' | 'eperm' | 'enosys' | 'clone' | 'socket'

interface Interval {
  readonly from: number
  readonly action: Action
}

function intervals(architecture: Architecture, bounding: bigint): Interval[] {
  const { numbers, last } = SYSCALLS[architecture]
  const granted = new Set(GRANTED.flatMap(([name, calls]) => hasCapability(bounding, name) ? calls : []))
  const points = new Map<number, Action>()
  for (const name of DENIED) {
    const number = numbers[name]
    if (number !== undefined && !granted.has(name)) points.set(number, 'eperm')
  }
  if (!granted.has('unshare')) points.set(numbers['clone'] ?? -1, 'clone')
  points.set(numbers['socket'] ?? -1, 'socket')
  points.set(435, 'enosys') // clone3, the same number everywhere
  points.delete(-1)
  const edges = new Set([0, last + 1, X32, ...[...points.keys()].flatMap((number) => [number, number + 1])])
  const all = [...edges].sort((a, b) => a - b).map((from): Interval => ({
    from,
    action: from >= X32 ? 'eperm' : points.get(from) ?? (from > last ? 'enosys' : 'allow'),
  }))
  return all.filter((interval, index) => interval.action !== all[index - 1]?.action)
}

function search(list: readonly Interval[]): Instruction[] {
  const middle = list[list.length >> 1]
  if (middle === undefined || list.length === 1) return leaf(list[0]?.action ?? 'eperm')
  const left = search(list.slice(0, list.length >> 1))
  const right = search(list.slice(list.length >> 1))
  return [jump(JMP_JGE, middle.from, 0, 1), always(left.length), ...left, ...right]
}

function leaf(action: Action): Instruction[] {
  switch (action) {
    case 'allow': return [ret(ALLOW)]
    case 'eperm': return [ret(EPERM)]
    case 'enosys': return [ret(ENOSYS)]
    case 'clone': return [load(ARGUMENT_0), jump(JMP_JSET, NAMESPACES, 0, 1), ret(EPERM), ret(ALLOW)]
    case 'socket': return [load(ARGUMENT_0), jump(JMP_JEQ, AF_ALG, 1, 0), jump(JMP_JEQ, AF_VSOCK, 0, 1), ret(EPERM), ret(ALLOW)]
  }
}

function load(k: number): Instruction { return { code: LD_ABS, jt: 0, jf: 0, k } }
function always(k: number): Instruction { return { code: JMP_JA, jt: 0, jf: 0, k } }
function jump(code: number, k: number, jt: number, jf: number): Instruction { return { code, jt, jf, k } }
function ret(k: number): Instruction { return { code: RET, jt: 0, jf: 0, k } }

function encode(program: readonly Instruction[]): Uint8Array {
  const out = Buffer.alloc(program.length * 8)
  program.forEach(({ code, jt, jf, k }, index) => {
    out.writeUInt16LE(code, index * 8)
    out.writeUInt8(jt, index * 8 + 2)
    out.writeUInt8(jf, index * 8 + 3)
    out.writeUInt32LE(k >>> 0, index * 8 + 4)
  })
  return out
}

import { readFileSync } from 'node:fs'

import { expect, test } from 'vitest'

import { capabilitySets } from '../../src/sandbox/capabilities.js'
import { bindNotification, seccompProgram } from '../../src/sandbox/seccomp/index.js'
import { abisOf, type Abi } from '../../src/sandbox/seccomp/abi.js'
import { interpret } from './interpreter.js'

const DEFAULTS = capabilitySets({}).bounding
const ALLOW = 'allow'
const EPERM = 'errno 1'
const ENOSYS = 'errno 38'
const X32 = 0x40000000

const abi = (arch: string, name: string): Abi => {
  const found = abisOf(arch)?.find((one) => one.name === name)
  if (found === undefined) throw new Error(`no ${name}`)
  return found
}
const X86_64 = abi('x64', 'SCMP_ARCH_X86_64')
const I386 = abi('x64', 'SCMP_ARCH_X86')
const AARCH64 = abi('arm64', 'SCMP_ARCH_AARCH64')
const SECTIONS: [string, string, Abi][] = [['x86_64', 'x64', X86_64], ['i386', 'x64', I386], ['aarch64', 'arm64', AARCH64]]

/** What a container's process may do to its own machine's kernel without any capability of Docker's 14 (runtime.md, Security). */
const REFUSED = [
  'mount', 'umount2', 'unshare', 'setns', 'pivot_root', 'move_mount', 'open_tree', 'open_tree_attr', 'fsopen', 'fsconfig', 'fsmount',
  'fspick', 'mount_setattr', 'bpf', 'perf_event_open', 'keyctl', 'add_key', 'request_key', 'io_uring_setup', 'io_uring_enter',
  'io_uring_register', 'userfaultfd', 'kexec_load', 'kexec_file_load', 'init_module', 'finit_module', 'delete_module', 'create_module',
  'open_by_handle_at', 'pidfd_getfd', 'process_madvise', 'kcmp', 'acct', 'swapon', 'swapoff', 'reboot', 'settimeofday', 'clock_settime',
  'clock_settime64', 'stime', 'syslog', 'sethostname', 'setdomainname', 'quotactl', 'iopl', 'ioperm', 'vm86', 'vm86old', 'lookup_dcookie',
  'fanotify_init', 'nfsservctl', 'uselib', 'ustat', 'sysfs', '_sysctl', 'mbind', 'migrate_pages', 'move_pages', 'umount', 'vhangup',
]
/** What programs are made of. */
const PERMITTED = [
  'read', 'write', 'openat', 'openat2', 'close', 'close_range', 'mmap', 'mmap2', 'execve', 'execveat', 'exit_group', 'fork', 'vfork',
  'futex', 'epoll_wait', 'epoll_pwait', 'connect', 'bind', 'accept4', 'chown', 'fchownat', 'setuid', 'setresuid', 'setgroups', 'mknod',
  'mknodat', 'chroot', 'ptrace', 'process_vm_readv', 'statx', 'copy_file_range', 'memfd_create', 'getrandom', 'landlock_create_ruleset',
  'pidfd_open', 'prctl', 'seccomp', 'capset', 'name_to_handle_at', 'arch_prctl', 'shmget', 'semget', 'msgget', 'ipc', 'mseal', 'cachestat',
  'rseq', 'sched_setaffinity', 'setrlimit', 'prlimit64', 'fchmodat2', 'clock_adjtime', 'modify_ldt', 'io_setup',
]

test.each(SECTIONS)('%s: every number is answered, unknown ones by ENOSYS', (_name, arch, { audit, names }) => {
  const program = seccompProgram(arch, DEFAULTS)
  for (let number = 0; number < 1024; number += 1) {
    const { verdict } = interpret(program, { arch: audit, number })
    const name = names.get(number)
    if (name === undefined || name === 'clone3') expect([number, verdict]).toEqual([number, ENOSYS])
    else if (REFUSED.includes(name)) expect([name, verdict]).toEqual([name, EPERM])
    else if (PERMITTED.includes(name)) expect([name, verdict]).toEqual([name, ALLOW])
    else expect([ALLOW, EPERM]).toContain(verdict)
  }
  for (const number of [0x3fffffff, 0x80000000, 0xffffffff]) expect(interpret(program, { arch: audit, number }).verdict).not.toBe(ALLOW)
})

test.each(SECTIONS)('%s: calls of bind() are reported by the filter for that, and no other', (name, arch, { audit, names }) => {
  const program = bindNotification(arch)
  expect(program.length / 8).toBeLessThan(16)
  for (let number = 0; number < 1024; number += 1) {
    const reported = names.get(number) === 'bind' && name !== 'i386'
    expect([number, interpret(program, { arch: audit, number }).verdict]).toEqual([number, reported ? '0x7fc00000' : ALLOW])
  }
})

test('every name of the lists is a call of some interface', () => {
  const all = new Set(SECTIONS.flatMap(([, , { numbers }]) => [...numbers.keys()]))
  expect([...REFUSED, ...PERMITTED].filter((name) => !all.has(name))).toEqual([])
})

test('the tables are the kernel headers\' of this machine', (context) => {
  const read = (file: string): [number, string][] => {
    const text = readFileSync(`/usr/include/x86_64-linux-gnu/asm/${file}`, 'utf8')
    return [...text.matchAll(/^#define __NR_(\w+) (?:\(__X32_SYSCALL_BIT \+ )?(\d+)/gm)].map(([, name = '', number]) => [Number(number), name])
  }
  try {
    readFileSync('/usr/include/x86_64-linux-gnu/asm/unistd_64.h')
  } catch {
    context.skip('no headers of x86_64 Linux here')
  }
  for (const [file, { names }] of [['unistd_64.h', X86_64], ['unistd_32.h', I386], ['unistd_x32.h', abi('x64', 'SCMP_ARCH_X32')]] as const) {
    const wrong = read(file).filter(([number, name]) => names.get(number) !== name)
    expect([file, wrong]).toEqual([file, []])
  }
})

test.each(SECTIONS)('%s: arguments decide on clone, socket and personality, their upper halves on nothing', (_name, arch, { audit, numbers }) => {
  const program = seccompProgram(arch, DEFAULTS)
  for (const upper of [0n, 1n << 32n, 0xffffffff00000000n]) {
    const ask = (call: string, argument: bigint): string =>
      interpret(program, { arch: audit, number: numbers.get(call) ?? -1, args: [upper | argument] }).verdict
    expect(ask('clone', 0x003d0f00n)).toBe(ALLOW)
    for (const flag of [0x20000n, 0x2000000n, 0x4000000n, 0x8000000n, 0x10000000n, 0x20000000n, 0x40000000n]) expect(ask('clone', flag)).toBe(EPERM)
    for (const family of [1n, 2n, 10n, 16n]) expect(ask('socket', family)).toBe(ALLOW)
    // The kernel reads an int: 0x100000028 is AF_VSOCK all the same.
    for (const family of [38n, 40n]) expect(ask('socket', family)).toBe(EPERM)
    for (const persona of [0n, 8n, 0x20000n, 0x20008n, 0xffffffffn]) expect(ask('personality', persona)).toBe(ALLOW)
    expect(ask('personality', 0x40000n)).toBe(EPERM)
  }
})

test('i386\'s socketcall is no way around the refused families', () => {
  const program = seccompProgram('x64', DEFAULTS)
  const ask = (call: bigint): string => interpret(program, { arch: I386.audit, number: 102, args: [call] }).verdict
  expect(ask(1n)).toBe(ENOSYS)
  for (const call of [2n, 3n, 9n, 18n]) expect(ask(call)).toBe(ALLOW)
})

test('x32 and foreign architectures are refused', () => {
  const program = seccompProgram('x64', DEFAULTS)
  for (let number = 0; number < 600; number += 1) expect(interpret(program, { arch: X86_64.audit, number: X32 + number }).verdict).toBe(EPERM)
  for (const arch of [0xc00000b7, 0x40000028, 0, 0xffffffff]) expect(interpret(program, { arch, number: 1 }).verdict).toBe(EPERM)
  expect(interpret(seccompProgram('arm64', DEFAULTS), { arch: 0x40000028, number: 1 }).verdict).toBe(EPERM)
})

test.each([
  ['SYS_ADMIN', ['mount', 'unshare', 'setns', 'bpf', 'clone3', 'open_tree', 'syslog']], ['SYS_PTRACE', ['kcmp', 'pidfd_getfd', 'process_madvise']],
  ['SYS_MODULE', ['init_module', 'finit_module', 'delete_module']], ['SYS_TIME', ['settimeofday', 'clock_settime']], ['SYS_NICE', ['mbind']],
  ['SYS_BOOT', ['reboot']], ['DAC_READ_SEARCH', ['open_by_handle_at']], ['PERFMON', ['perf_event_open']], ['SYSLOG', ['syslog']],
])('%s permits its calls and nothing else', (capability, calls) => {
  const before = seccompProgram('x64', DEFAULTS)
  const after = seccompProgram('x64', capabilitySets({ capAdd: [capability] }).bounding)
  for (const [number, name] of X86_64.names) {
    const [was, is] = [before, after].map((program) => interpret(program, { arch: X86_64.audit, number }).verdict)
    if (calls.includes(name)) expect([name, is]).toEqual([name, ALLOW])
    else if (was === ALLOW) expect([name, is]).toEqual([name, ALLOW])
    else if (capability !== 'SYS_ADMIN' && capability !== 'SYS_NICE') expect([name, is]).toEqual([name, was])
  }
  expect(interpret(after, { arch: X86_64.audit, number: X86_64.numbers.get('io_uring_setup') ?? -1 }).verdict).toBe(EPERM)
})

test('without SYS_CHROOT there is no chroot', () => {
  const program = seccompProgram('x64', capabilitySets({ capDrop: ['ALL'] }).bounding)
  expect(interpret(program, { arch: X86_64.audit, number: 161 }).verdict).toBe(EPERM)
})

test('a verdict takes few steps, and the program fits the kernel\'s limit', () => {
  const program = seccompProgram('x64', DEFAULTS)
  const steps = [...X86_64.names.keys()].map((number) => interpret(program, { arch: X86_64.audit, number }).steps)
  expect(Math.max(...steps)).toBeLessThanOrEqual(18)
  expect(program.length / 8).toBeLessThan(1000)
})

test('an architecture without a table is refused by name', () => {
  expect(() => seccompProgram('mips', DEFAULTS)).toThrow(expect.objectContaining({ code: 'ERR_MAYFLY_UNSUPPORTED' }))
})

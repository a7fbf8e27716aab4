import { MayflyError } from '../errors.js'
import type { CapabilitySets } from './operations.js'

/** Names in the kernel's order; a name's place is its number. */
const NAMES = [
  'CHOWN', 'DAC_OVERRIDE', 'DAC_READ_SEARCH', 'FOWNER', 'FSETID', 'KILL', 'SETGID', 'SETUID', 'SETPCAP',
  'LINUX_IMMUTABLE', 'NET_BIND_SERVICE', 'NET_BROADCAST', 'NET_ADMIN', 'NET_RAW', 'IPC_LOCK', 'IPC_OWNER',
  'SYS_MODULE', 'SYS_RAWIO', 'SYS_CHROOT', 'SYS_PTRACE', 'SYS_PACCT', 'SYS_ADMIN', 'SYS_BOOT', 'SYS_NICE',
  'SYS_RESOURCE', 'SYS_TIME', 'SYS_TTY_CONFIG', 'MKNOD', 'LEASE', 'AUDIT_WRITE', 'AUDIT_CONTROL', 'SETFCAP',
  'MAC_OVERRIDE', 'MAC_ADMIN', 'SYSLOG', 'WAKE_ALARM', 'BLOCK_SUSPEND', 'AUDIT_READ', 'PERFMON', 'BPF',
  'CHECKPOINT_RESTORE',
] as const

const DOCKER_DEFAULTS = [
  'AUDIT_WRITE', 'CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'FSETID', 'KILL', 'MKNOD', 'NET_BIND_SERVICE', 'NET_RAW',
  'SETFCAP', 'SETGID', 'SETPCAP', 'SETUID', 'SYS_CHROOT',
]

let defaults: bigint | undefined
const ALL = (1n << BigInt(NAMES.length)) - 1n

export interface CapabilityOptions {
  readonly capAdd?: readonly string[] | undefined
  readonly capDrop?: readonly string[] | undefined
  readonly privileged?: boolean | undefined
}

/**
 * The capability sets of a container: Docker's 14 by default; additions win over drops unless a drop says ALL.
 * Throws ERR_MAYFLY_OPTION_INVALID for an unknown name.
 */
export function capabilitySets(options: CapabilityOptions): CapabilitySets {
  const bounding = options.privileged === true ? ALL : chosen(options)
  return { bounding, effective: bounding, inheritable: 0n, ambient: 0n }
}

export type Capability = (typeof NAMES)[number]

/** Whether this kernel's header knew such a capability, named without `CAP_`. */
export function isCapability(name: string): name is Capability {
  return (NAMES as readonly string[]).includes(name)
}

/** Whether a set has the capability, named without `CAP_`. */
export function hasCapability(set: bigint, name: Capability): boolean {
  return (set >> BigInt(NAMES.indexOf(name)) & 1n) === 1n
}

function chosen({ capAdd = [], capDrop = [] }: CapabilityOptions): bigint {
  const ordinary = defaults ??= mask(DOCKER_DEFAULTS)
  if (capAdd.length === 0 && capDrop.length === 0) return ordinary
  const added = mask(capAdd)
  const dropped = mask(capDrop)
  const base = added === ALL ? ALL : dropped === ALL ? 0n : ordinary
  return added === ALL ? base & ~dropped : base & ~dropped | added
}

function mask(names: readonly string[]): bigint {
  let set = 0n
  for (const name of names) {
    const bare = name.toUpperCase().replace(/^CAP_/, '')
    if (bare === 'ALL') return ALL
    const number = (NAMES as readonly string[]).indexOf(bare)
    if (number < 0) {
      throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `Unknown capability ${JSON.stringify(name)}`, {
        hint: 'Name it as in capabilities(7), with or without CAP_, for example "NET_ADMIN".',
      })
    }
    set |= 1n << BigInt(number)
  }
  return set
}

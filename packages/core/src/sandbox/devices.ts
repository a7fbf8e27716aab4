import { lstatSync, readdirSync, statSync, type Stats } from 'node:fs'
import { join } from 'node:path'

import { absolute, invalid } from './invalid.js'
import type { SandboxOptions } from './options.js'

/** A device of the host's that a container may use. */
export interface DeviceNode {
  /** On the host. */
  readonly source: string
  readonly path: string
  readonly type: 'b' | 'c'
  readonly major: number
  readonly minor: number
  readonly mode: number
  /** Of `r`, `w` and `m` (mknod). */
  readonly access: string
}

/** What opening devices is decided by: type, numbers (-1 for any), access. */
export interface DeviceRule {
  readonly type: 'b' | 'c'
  readonly major: number
  readonly minor: number
  readonly access: string
}

/** Not the host's: every container has its own. */
const OWN = new Set(['pts', 'shm', 'mqueue', 'fd', 'core', 'ptmx', 'stdin', 'stdout', 'stderr', 'console', 'log'])

/** Docker's: any device may be made, but only these be opened. */
export const DEFAULT_RULES: readonly DeviceRule[] = [
  { type: 'c', major: -1, minor: -1, access: 'm' }, { type: 'b', major: -1, minor: -1, access: 'm' },
  ...([[1, 3], [1, 5], [1, 7], [1, 8], [1, 9], [5, 0], [5, 1], [5, 2], [10, 200], [136, -1]] as const)
    .map(([major, minor]) => ({ type: 'c', major, minor, access: 'rwm' } as const)),
]

/**
 * The nodes of `devices`, looked up on this host; all of /dev when privileged. Throws ERR_MAYFLY_OPTION_INVALID for
 * what is no device.
 */
export function resolveDevices({ devices = [], privileged }: Pick<SandboxOptions, 'devices' | 'privileged'>): DeviceNode[] {
  const chosen = devices.flatMap(resolve)
  if (privileged !== true) return chosen
  const named = new Set(chosen.map(({ path }) => path))
  return [...chosen, ...nodesIn('/dev', '/dev', 'rwm').filter(({ path }) => !named.has(path) && !OWN.has(path.split('/')[2] ?? ''))]
}

/** `SOURCE[:TARGET][:ACCESS]`; a directory stands for the devices in it. */
function resolve(text: string): DeviceNode[] {
  const [source = '', second, third, ...more] = text.split(':')
  const short = third === undefined && second !== undefined && !second.startsWith('/')
  const target = short ? source : second ?? source
  const access = (short ? second : third) ?? 'rwm'
  if (more.length > 0 || !/^(?!.*(.).*\1)[rwm]{1,3}$/.test(access)) {
    throw invalid('devices', text, 'it is not of the form SOURCE[:TARGET][:rwm]', 'For example "/dev/fuse" or "/dev/sda:/dev/xvda:r".')
  }
  const from = absolute('devices', source)
  const to = absolute('devices', target)
  if (!to.startsWith('/dev/')) throw invalid('devices', text, 'inside, a device lies below /dev')
  let stat: Stats
  try {
    stat = statSync(from)
  } catch {
    throw invalid('devices', text, `this host has no ${from}`)
  }
  const nodes = stat.isDirectory() ? nodesIn(from, to, access) : node(stat, from, to, access)
  if (nodes.length === 0) throw invalid('devices', text, `${from} is no device`)
  return nodes
}

function nodesIn(from: string, to: string, access: string): DeviceNode[] {
  return readdirSync(from, { withFileTypes: true }).flatMap((entry) => {
    const path = join(from, entry.name)
    if (entry.isDirectory()) return from === '/dev' && OWN.has(entry.name) ? [] : nodesIn(path, join(to, entry.name), access)
    return node(lstatSync(path), path, join(to, entry.name), access)
  })
}

function node(stat: Stats, source: string, path: string, access: string): DeviceNode[] {
  if (!stat.isCharacterDevice() && !stat.isBlockDevice()) return []
  const device = BigInt(stat.rdev)
  return [{
    source,
    path,
    type: stat.isBlockDevice() ? 'b' : 'c',
    // As glibc packs them.
    major: Number(device >> 8n & 0xfffn | device >> 32n & 0xfffff000n),
    minor: Number(device & 0xffn | device >> 12n & 0xffffff00n),
    mode: stat.mode & 0o777,
    access,
  }]
}

/** The rules of a container: Docker's, and its own devices. */
export function deviceRules(devices: readonly DeviceNode[]): DeviceRule[] {
  return [...DEFAULT_RULES, ...devices]
}

/** A rule as the files of cgroup v1 take it. */
export function deviceLine({ type, major, minor, access }: DeviceRule): string {
  const number = (value: number): string => value < 0 ? '*' : String(value)
  return `${type} ${number(major)}:${number(minor)} ${access}`
}

const ACCESS: Readonly<Record<string, number>> = { m: 1, r: 2, w: 4 }
const [R0, R1, R2, R3, R4, R5] = [0, 1, 2, 3, 4, 5]
const CODE = { load32: 0x61, move: 0xbf, moveConstant: 0xb7, and: 0x57, shiftRight: 0x77, jumpUnless: 0x55, exit: 0x95 } as const

/** The rules as a program for cgroup v2 (BPF_PROG_TYPE_CGROUP_DEVICE): 1 allows, 0 refuses. */
export function deviceProgram(rules: readonly DeviceRule[]): Buffer {
  const code: Buffer[] = [
    instruction(CODE.load32, R2, R1, 0), instruction(CODE.and, R2, 0, 0, 0xffff),
    instruction(CODE.load32, R3, R1, 0), instruction(CODE.shiftRight, R3, 0, 0, 16),
    instruction(CODE.load32, R4, R1, 4), instruction(CODE.load32, R5, R1, 8),
  ]
  for (const { type, major, minor, access } of rules) {
    const asked = [...access].reduce((sum, letter) => sum | (ACCESS[letter] ?? 0), 0)
    const tests: (readonly [register: number, value: number])[] = [[R2, type === 'b' ? 1 : 2]]
    if (major >= 0) tests.push([R4, major])
    if (minor >= 0) tests.push([R5, minor])
    const own = [
      ...tests.map(([register, value]) => [CODE.jumpUnless, register, 0, value] as const),
      [CODE.move, R1, R3, 0] as const, [CODE.and, R1, 0, ~asked & 7] as const, [CODE.jumpUnless, R1, 0, 0] as const,
      [CODE.moveConstant, R0, 0, 1] as const, [CODE.exit, 0, 0, 0] as const,
    ]
    own.forEach(([operation, to, from, value], index) => {
      code.push(instruction(operation, to, from, operation === CODE.jumpUnless ? own.length - index - 1 : 0, value))
    })
  }
  return Buffer.concat([...code, instruction(CODE.moveConstant, R0, 0, 0, 0), instruction(CODE.exit, 0, 0, 0)])
}

function instruction(code: number, to: number, from: number, offset: number, value = 0): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt8(code, 0)
  bytes.writeUInt8(from << 4 | to, 1)
  bytes.writeInt16LE(offset, 2)
  bytes.writeInt32LE(value, 4)
  return bytes
}

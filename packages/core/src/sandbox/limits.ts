import { MayflyError } from '../errors.js'
import type { CgroupWrite } from '../native/requests.js'
import { parseSize } from '../units.js'
import { deviceLine, deviceRules, type DeviceNode } from './devices.js'
import { integer, invalid } from './invalid.js'
import type { SandboxOptions } from './options.js'

const LIMITS = ['memory', 'memorySwap', 'memoryReservation', 'cpus', 'cpuQuota', 'cpuPeriod', 'cpuShares', 'cpusetCpus', 'cpusetMems', 'pids', 'blkioWeight'] as const

/** What of the options cgroups keep, and can be changed while a container runs. */
export type LimitOptions = Pick<SandboxOptions, (typeof LIMITS)[number]>

export function limitsOf(options: LimitOptions): LimitOptions {
  return Object.fromEntries(LIMITS.filter((name) => options[name] !== undefined).map((name) => [name, options[name]]))
}

/** All the others. */
export function withoutLimits<Options extends LimitOptions>(options: Options): Omit<Options, keyof LimitOptions> {
  return Object.fromEntries(Object.entries(options).filter(([name]) => !(LIMITS as readonly string[]).includes(name))) as Omit<Options, keyof LimitOptions>
}

/** What the supervisor said of this machine (docs/protocol.md, hello). */
export type Features = ReadonlyMap<string, string>

const DEFAULT_PIDS = 4096
const PERIOD = 100_000
const MOST_BYTES = 2 ** 53

/** The cgroup files that carry a container's limits. Throws ERR_MAYFLY_LIMIT_UNSUPPORTED, ERR_MAYFLY_OPTION_INVALID. */
export function cgroupWrites(features: Features, options: LimitOptions): CgroupWrite[] {
  const v2 = features.get('cgroup') === 'v2'
  const writes = new Writes(features)
  memory(writes, v2, options)
  cpu(writes, v2, options)
  for (const [option, file] of [['cpusetCpus', 'cpuset.cpus'], ['cpusetMems', 'cpuset.mems']] as const) {
    const list = options[option]
    if (list === undefined) continue
    if (!/^\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*$/.test(list)) throw invalid(option, list, 'numbers and ranges such as "0-2,4"')
    writes.put('cpuset', true, [file, list])
  }
  const pids = options.pids === undefined ? DEFAULT_PIDS : options.pids === -1 ? -1 : integer('pids', options.pids, 1)
  writes.put('pids', options.pids !== undefined, ['pids.max', pids === -1 ? 'max' : String(pids)])
  if (options.blkioWeight !== undefined) io(writes, integer('blkioWeight', options.blkioWeight, 10, 1000))
  return writes.list
}

/** What a container's cgroup is given before it has any limit: the devices it may open, where files say so (v1). */
export function deviceWrites(features: Features, { devices = [], privileged }: { readonly devices?: readonly DeviceNode[] | undefined; readonly privileged?: boolean | undefined }): CgroupWrite[] {
  if (features.get('devices') !== 'v1' || privileged === true) return []
  const allow = deviceRules(devices).map((rule) => ({ controller: 'devices', file: 'devices.allow', value: deviceLine(rule) }))
  return [{ controller: 'devices', file: 'devices.deny', value: 'a' }, ...allow]
}

class Writes {
  readonly list: CgroupWrite[] = []
  readonly #controllers: ReadonlySet<string>
  readonly #files: ReadonlySet<string>

  constructor(features: Features) {
    this.#controllers = new Set((features.get('controllers') ?? '').split(','))
    this.#files = new Set((features.get('files') ?? '').split(','))
  }

  /** Only a limit that was asked for must be kept; a default may be missing. */
  put(controller: string, asked: boolean, ...files: [file: string, value: string][]): void {
    if (this.#controllers.has(controller)) this.list.push(...files.map(([file, value]) => ({ controller, file, value })))
    else if (asked) throw unsupported(`no ${controller} cgroup controller`)
  }

  /** Whether this kernel has the file. */
  has(file: string): boolean {
    return this.#files.has(file)
  }
}

function memory(writes: Writes, v2: boolean, { memory, memorySwap, memoryReservation }: LimitOptions): void {
  const limit = memory === undefined ? undefined : positive('memory', parseSize(memory))
  const file = v2 ? 'memory.swap.max' : 'memory.memsw.limit_in_bytes'
  if (limit !== undefined) writes.put('memory', true, [v2 ? 'memory.max' : 'memory.limit_in_bytes', String(limit)])
  // v1 counts both together, v2 swap alone.
  const both = memorySwap === undefined ? limit : memorySwap === -1 ? -1 : positive('memorySwap', parseSize(memorySwap))
  if (both !== undefined) {
    if (writes.has(file)) writes.put('memory', true, [file, both === -1 ? (v2 ? 'max' : '-1') : String(v2 ? both - (limit ?? 0) : both)])
    else if (memorySwap !== undefined && memorySwap !== -1) throw unsupported('no limit for swap (swapaccount is off)')
  }
  if (memoryReservation !== undefined) {
    const bytes = String(positive('memoryReservation', parseSize(memoryReservation)))
    writes.put('memory', true, [v2 ? 'memory.low' : 'memory.soft_limit_in_bytes', bytes])
  }
}

function cpu(writes: Writes, v2: boolean, { cpus, cpuQuota, cpuPeriod, cpuShares }: LimitOptions): void {
  if (cpus !== undefined || cpuQuota !== undefined || cpuPeriod !== undefined) {
    const period = cpuPeriod === undefined ? PERIOD : integer('cpuPeriod', cpuPeriod, 1000, 1_000_000)
    const quota = cpus !== undefined ? Math.max(1000, Math.round(positive('cpus', cpus) * PERIOD))
      : cpuQuota === undefined || cpuQuota === -1 ? -1 : integer('cpuQuota', cpuQuota, 1000)
    if (v2) writes.put('cpu', true, ['cpu.max', `${quota === -1 ? 'max' : quota} ${period}`])
    else writes.put('cpu', true, ['cpu.cfs_period_us', String(period)], ['cpu.cfs_quota_us', String(quota)])
  }
  if (cpuShares === undefined) return
  const shares = integer('cpuShares', cpuShares, 2, 262_144)
  // The kernels' documents' mapping of 2–262144 to 1–10000.
  if (v2) writes.put('cpu', true, ['cpu.weight', String(1 + Math.floor((shares - 2) * 9999 / 262_142))])
  else writes.put('cpu', true, ['cpu.shares', String(shares)])
}

/** Which file there is depends on the scheduler that the kernel was built with. */
function io(writes: Writes, weight: number): void {
  const scaled = String(1 + Math.floor((weight - 10) * 9999 / 990))
  const found = ([['blkio.weight', 'blkio', String(weight)], ['blkio.bfq.weight', 'blkio', String(weight)],
    ['io.weight', 'io', scaled], ['io.bfq.weight', 'io', String(weight)]] as const).find(([file]) => writes.has(file))
  if (found === undefined) throw unsupported('no weights for input and output')
  writes.put(found[1], true, [found[0], found[2]])
}

function positive(name: string, value: number): number {
  if (Number.isFinite(value) && value > 0 && value < MOST_BYTES) return value
  throw invalid(name, value, 'it is not positive')
}

function unsupported(what: string): MayflyError {
  return new MayflyError('ERR_MAYFLY_LIMIT_UNSUPPORTED', `This machine gives Mayfly ${what}`, {
    hint: 'Leave the limit out, or delegate the controller; `mayfly doctor` says how.',
  })
}

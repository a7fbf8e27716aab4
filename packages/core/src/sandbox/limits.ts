import type { SandboxOptions } from './options.js'
import { MayflyError } from '../errors.js'
import type { CgroupWrite } from '../native/requests.js'
import { parseSize } from '../units.js'

const DEFAULT_PIDS = 4096
const PERIOD = 100_000

/** The cgroup files that carry a container's limits. Throws ERR_MAYFLY_LIMIT_UNSUPPORTED, ERR_MAYFLY_OPTION_INVALID. */
export function cgroupWrites(
  features: ReadonlyMap<string, string>, options: Pick<SandboxOptions, 'memory' | 'cpus' | 'pids'>,
): CgroupWrite[] {
  const v2 = features.get('cgroup') === 'v2'
  const has = new Set((features.get('controllers') ?? '').split(','))
  const writes: CgroupWrite[] = []
  const put = (controller: string, asked: boolean, ...files: [string, string][]): void => {
    if (has.has(controller)) writes.push(...files.map(([file, value]) => ({ controller, file, value })))
    else if (asked) throw unsupported(controller)
  }
  if (options.memory !== undefined) {
    const bytes = String(positive('memory', parseSize(options.memory)))
    if (v2) put('memory', true, ['memory.max', bytes], ['memory.swap.max', '0'])
    else put('memory', true, ['memory.limit_in_bytes', bytes])
  }
  if (options.cpus !== undefined) {
    const quota = String(Math.max(1000, Math.round(positive('cpus', options.cpus) * PERIOD)))
    if (v2) put('cpu', true, ['cpu.max', `${quota} ${PERIOD}`])
    else put('cpu', true, ['cpu.cfs_period_us', String(PERIOD)], ['cpu.cfs_quota_us', quota])
  }
  const pids = options.pids === undefined ? DEFAULT_PIDS : positive('pids', options.pids)
  put('pids', options.pids !== undefined, ['pids.max', String(Math.floor(pids))])
  return writes
}

function positive(name: string, value: number): number {
  if (Number.isFinite(value) && value > 0) return value
  throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `Invalid ${name}: ${value}`)
}

function unsupported(controller: string): MayflyError {
  return new MayflyError('ERR_MAYFLY_LIMIT_UNSUPPORTED', `This machine gives Mayfly no ${controller} cgroup controller`, {
    hint: 'Leave the limit out, or delegate the controller; `mayfly doctor` says how.',
  })
}

import { invalid } from './invalid.js'

const RESOURCES: Readonly<Record<string, number>> = {
  cpu: 0, fsize: 1, data: 2, stack: 3, core: 4, rss: 5, nproc: 6, nofile: 7, memlock: 8, as: 9, locks: 10,
  sigpending: 11, msgqueue: 12, nice: 13, rtprio: 14, rttime: 15,
}
const UNLIMITED = 2n ** 64n - 1n

export interface Rlimit {
  readonly resource: number
  readonly soft: bigint
  readonly hard: bigint
}

/** Resource limits by Docker's names; -1 is unlimited. Throws ERR_MAYFLY_OPTION_INVALID. */
export function rlimits(given: Readonly<Record<string, number | { readonly soft: number; readonly hard: number }>>): Rlimit[] {
  return Object.entries(given).map(([name, value]) => {
    const resource = RESOURCES[name]
    if (resource === undefined) throw invalid('ulimits', name, `it is none of ${Object.keys(RESOURCES).join(', ')}`)
    const { soft, hard } = typeof value === 'number' ? { soft: value, hard: value } : value
    const [least, most] = [limit(name, soft), limit(name, hard)]
    if (least > most) throw invalid(`ulimits.${name}`, value, 'soft is more than hard')
    return { resource, soft: least, hard: most }
  })
}

function limit(name: string, value: number): bigint {
  if (value === -1) return UNLIMITED
  if (Number.isSafeInteger(value) && value >= 0) return BigInt(value)
  throw invalid(`ulimits.${name}`, value, 'a whole number, or -1 for none')
}

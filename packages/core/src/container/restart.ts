import { MayflyError } from '../errors.js'

/** When a container that ended is started again. */
export interface RestartPolicy {
  readonly name: 'no' | 'always' | 'unless-stopped' | 'on-failure'
  /** How often at most; for `on-failure`. Default: without end. */
  readonly most?: number | undefined
}

const FIRST = 100
const LONGEST = 60_000
/** Whoever lived so long has recovered. */
const RECOVERED = 10_000

/** `no`, `always`, `unless-stopped`, `on-failure` or `on-failure:N`. Throws ERR_MAYFLY_OPTION_INVALID. */
export function parseRestartPolicy(text: string): RestartPolicy {
  const [name, most, ...rest] = text.split(':')
  const known = (['no', 'always', 'unless-stopped', 'on-failure'] as const).find((one) => one === (name === '' ? 'no' : name))
  if (known === undefined || rest.length > 0 || (most !== undefined && (known !== 'on-failure' || !/^\d+$/.test(most)))) {
    throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `Invalid restart policy ${JSON.stringify(text)}`, {
      hint: 'There are no, always, unless-stopped, on-failure and on-failure:N.',
    })
  }
  return most === undefined || Number(most) === 0 ? { name: known } : { name: known, most: Number(most) }
}

/** A life that is over. */
export interface LifeOver {
  readonly code: number
  /** How often it was started again so far. */
  readonly restarts: number
  /** Milliseconds. */
  readonly lasted: number
  /** Milliseconds that the last new start was waited for; 0 when there was none. */
  readonly waited: number
}

/** Milliseconds until the next start, or nothing when there is none. Docker's: 100 ms, doubled each time up to a minute. */
export function restartDelay({ name, most }: RestartPolicy, { code, restarts, lasted, waited }: LifeOver): number | undefined {
  if (name === 'no' || (name === 'on-failure' && (code === 0 || (most !== undefined && restarts >= most)))) return undefined
  return waited === 0 || lasted >= RECOVERED ? FIRST : Math.min(LONGEST, waited * 2)
}

import type { Container } from '../container/types.js'
import { MayflyError } from '../errors.js'
import { parseDuration } from '../units.js'
import { reachOf } from './failure.js'
import type { KeptContainer } from './journal.js'
import type { Leases } from './leases.js'

/** What stays after the run because a test failed. */
export interface Kept {
  readonly containers: readonly KeptContainer[]
  stays(container: Container | undefined): boolean
  /** Settles when all have ended, or their time is over. */
  readonly over: Promise<void>
}

const LONGEST = 3600_000

/** How long containers of failed tests stay, in milliseconds; undefined without MAYFLY_KEEP. Throws ERR_MAYFLY_OPTION_INVALID. */
export function keepFor(environment: NodeJS.ProcessEnv = process.env): number | undefined {
  const text = environment['MAYFLY_KEEP']
  if (text === undefined || text === '') return undefined
  const [word, duration] = text.split(':')
  if (word === 'on-failure') return duration === undefined ? LONGEST : parseDuration(duration)
  throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `Invalid MAYFLY_KEEP=${JSON.stringify(text)}`, { hint: 'It is on-failure, or with a limit on-failure:10m; the limit is an hour by itself.' })
}

/** The containers that failed tests used, if they are to stay. */
export async function chooseKept(leases: Pick<Leases, 'held'>, failed: ReadonlySet<string>): Promise<Kept | undefined> {
  const time = keepFor()
  if (time === undefined || failed.size === 0) return undefined
  const held = await Promise.all([...failed].map(async id => await leases.held(id).catch(() => undefined)))
  const until = Date.now() + time
  const found = new Map<Container, KeptContainer>()
  for (const one of held) {
    const container = one?.made.container
    if (one === undefined || container === undefined || one.death !== undefined) continue
    found.set(container, { name: one.wish.as, container: container.name, reach: reachOf(one.made.address), until })
  }
  if (found.size === 0) return undefined
  const all = [...found.keys()]
  const limit = new Promise<void>(resolve => setTimeout(resolve, time))
  return {
    containers: [...found.values()],
    stays: container => container !== undefined && found.has(container),
    over: Promise.race([limit, Promise.all(all.map(({ exit }) => exit)).then(() => undefined)]),
  }
}

import type { Container } from '../container/types.js'
import { hasMemory } from './admission.js'

/** Instances started ahead of their leases, by what they are instances of. */
export interface WarmPool {
  /** A waiting instance, else a new one. `ahead`: how those are started that then wait; default: `start`. */
  take(key: string, start: () => Promise<Container>, ahead?: () => Promise<Container>): Promise<Taken>
  /** Starts so many ahead of any lease. */
  fill(key: string, count: number, ahead: () => Promise<Container>): Promise<void>
  /** Ends those that wait for leases of one kind, and forgets how they are started. */
  drop(key: string): Promise<void>
  /** Ends all that wait. */
  shed(): Promise<void>
}

interface Taken {
  readonly container: Container
  /** Told apart for the run's summary. */
  readonly waited: boolean
  /** Has the next one started. To be called when whoever asked is being answered: the start of a container would hold that up. */
  refill(): void
}

interface Lane {
  readonly ahead: () => Promise<Container>
  readonly waiting: Promise<Container>[]
  uses: number
  /** How many should wait: grows when a lease found none. */
  wanted: number
}

/**
 * Nothing is started ahead for the first lease: whoever needs one may need no second. From the second on, one waits, and
 * one more for every lease that found none, up to `most`, as long as the machine has memory to spare.
 */
export function createWarmPool(most: number): WarmPool {
  const lanes = new Map<string, Lane>()

  const laneOf = (key: string, ahead: () => Promise<Container>): Lane => {
    const lane = lanes.get(key) ?? { ahead, waiting: [], uses: 0, wanted: 0 }
    lanes.set(key, lane)
    return lane
  }
  const fill = (lane: Lane): void => {
    if (lane.waiting.length >= Math.min(lane.wanted, most) || !hasMemory()) return
    const started = lane.ahead()
    lane.waiting.push(started)
    const drop = (): void => {
      const at = lane.waiting.indexOf(started)
      if (at >= 0) lane.waiting.splice(at, 1)
    }
    // One after the other: a test is running beside them.
    started.then(container => {
      void container.exit.then(drop)
      fill(lane)
    }, drop)
  }
  const empty = async (some: readonly Lane[]): Promise<void> => {
    const all = some.flatMap(lane => {
      lane.wanted = 0
      return lane.waiting.splice(0)
    })
    await Promise.allSettled(all.map(async started => await (await started).stop({ timeout: 0 })))
  }
  return {
    take: async (key, start, ahead = start) => {
      const lane = laneOf(key, ahead)
      lane.uses += 1
      const first = lane.waiting.shift()
      if (lane.uses > 1 && first === undefined) lane.wanted += 1
      const ready = await first?.catch(() => undefined)
      const container = ready ?? (await start())
      return { container, waited: ready !== undefined, refill: () => { if (lane.wanted > 0) setImmediate(fill, lane) } }
    },
    fill: async (key, count, ahead) => {
      const lane = laneOf(key, ahead)
      lane.wanted = Math.min(count, most)
      fill(lane)
      await Promise.allSettled(lane.waiting)
    },
    drop: async key => {
      const lane = lanes.get(key)
      lanes.delete(key)
      if (lane !== undefined) await empty([lane])
    },
    shed: () => empty([...lanes.values()]),
  }
}

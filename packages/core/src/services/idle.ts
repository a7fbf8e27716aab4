import { parseDuration } from '../units.js'

/** Milliseconds that a watched run holds containers while nobody uses any. */
const LONGEST = 10 * 60_000

/** How long a run may hold containers while no test file is connected: MAYFLY_IDLE, such as `30m`. Throws ERR_MAYFLY_OPTION_INVALID. */
export function idleLimit(environment: NodeJS.ProcessEnv = process.env): number {
  const text = environment['MAYFLY_IDLE'] ?? ''
  return text === '' ? LONGEST : parseDuration(text)
}

/** Counts who is there, and calls `idle` when nobody has been for so long; once until somebody comes. */
export interface Idle {
  enter(): void
  leave(): void
  end(): void
}

export function watchIdle(limit: number, idle: () => void): Idle {
  let there = 0
  let timer: NodeJS.Timeout | undefined
  const wait = (): void => void (timer = setTimeout(idle, limit))
  wait()
  return {
    enter: () => {
      there += 1
      clearTimeout(timer)
    },
    leave: () => {
      there -= 1
      if (there === 0) wait()
    },
    end: () => clearTimeout(timer),
  }
}

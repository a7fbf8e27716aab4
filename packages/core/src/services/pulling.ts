import type { RunOptions } from '../container/types.js'
import { formatSize } from '../units.js'

type Tell = NonNullable<RunOptions['onPull']>

/** In milliseconds. */
const EVERY = 5000

/** Says how far a pull is that a runner's set-up waits for, every five seconds: the runner itself says nothing meanwhile. */
export function describePull(say: (line: string) => void, now: () => number = Date.now): Tell {
  let last = now()
  return ({ reference, done, total, rate, layers }) => {
    if (now() - last < EVERY) return
    last = now()
    const whole = layers.filter(({ state }) => state === 'there' || state === 'done').length
    say(`mayfly: pulling ${reference.familiar}: ${formatSize(done)} of ${formatSize(total)}, ${formatSize(Math.round(rate))}/s, ${String(whole)} of ${String(layers.length)} layers\n`)
  }
}

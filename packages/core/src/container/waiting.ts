import { MayflyError } from '../errors.js'
import type { Wait, WaitContext, WaitStrategy } from './types.js'

/** Without a reason, every abort would make a DOMException, 0.1 ms. */
const OVER = 'over'

/** A strategy of these words and this work. */
export function strategy(description: string, ready: WaitStrategy['ready'], acceptsExit = false): Wait {
  return {
    description,
    ready,
    ...(acceptsExit ? { acceptsExit } : {}),
    within: (milliseconds) => strategy(description, (context) => timed(context, milliseconds, description, ready), acceptsExit),
  }
}

async function timed(context: WaitContext, milliseconds: number, description: string, ready: WaitStrategy['ready']): Promise<void> {
  if (typeof milliseconds !== 'number' || !(milliseconds > 0)) {
    throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `Invalid within ${String(milliseconds)}: milliseconds, a number above 0`)
  }
  const own = new AbortController()
  const end = (): void => own.abort(OVER)
  context.signal.addEventListener('abort', end, { once: true })
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new MayflyError('ERR_MAYFLY_TIMEOUT',
      `${context.container.image} was not ready within ${milliseconds} ms, waiting for ${description}`, { details: { within: milliseconds } })), milliseconds)
  })
  try {
    await Promise.race([ready({ ...context, signal: own.signal, listening: (port) => context.listening(port, own.signal) }), late])
  } finally {
    clearTimeout(timer)
    context.signal.removeEventListener('abort', end)
    end()
  }
}

/** Asks again with steps that grow from 1 to 50 ms. */
export async function poll(signal: AbortSignal, check: () => Promise<boolean>): Promise<void> {
  for (let step = 1; !signal.aborted; step = Math.min(50, step * 2)) {
    if (await check()) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(done, step)
      function done(): void {
        clearTimeout(timer)
        signal.removeEventListener('abort', done)
        resolve()
      }
      signal.addEventListener('abort', done, { once: true })
    })
  }
  throw new MayflyError('ERR_MAYFLY_ABORTED', 'The wait was given up')
}

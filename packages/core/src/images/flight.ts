import { MayflyError } from '../errors.js'

interface Flight<T, P> {
  readonly result: Promise<T>
  readonly stop: AbortController
  readonly listeners: Set<(progress: P) => void>
  waiting: number
}

export interface Passenger<P> {
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: P) => void) | undefined
}

/** Work that callers asking for the same share; it is stopped when all of them have given up. */
export class Flights<T, P> {
  readonly #flights = new Map<string, Flight<T, P>>()

  /** The result of `work`, or of the same work under way. Throws ERR_MAYFLY_ABORTED, saying `what`, for the caller's signal alone. */
  async join(
    key: string, what: string, work: (signal: AbortSignal, tell: (progress: P) => void) => Promise<T>, { signal, onProgress }: Passenger<P>,
  ): Promise<T> {
    const flight = this.#flights.get(key) ?? this.#takeOff(key, work)
    if (onProgress !== undefined) flight.listeners.add(onProgress)
    flight.waiting += 1
    let abort: (() => void) | undefined
    const aborted = new Promise<never>((_, reject) => {
      abort = () => { reject(new MayflyError('ERR_MAYFLY_ABORTED', `${what} was aborted`, { cause: signal?.reason })) }
      signal?.addEventListener('abort', abort, { once: true })
    })
    try {
      return await Promise.race([flight.result, aborted])
    } finally {
      if (abort !== undefined) signal?.removeEventListener('abort', abort)
      if (onProgress !== undefined) flight.listeners.delete(onProgress)
      flight.waiting -= 1
      if (flight.waiting === 0) {
        if (this.#flights.get(key) === flight) this.#flights.delete(key)
        flight.stop.abort()
        // Aborted: what was begun is taken away before the caller goes on.
        await flight.result.catch(() => undefined)
      }
    }
  }

  #takeOff(key: string, work: (signal: AbortSignal, tell: (progress: P) => void) => Promise<T>): Flight<T, P> {
    const stop = new AbortController()
    const listeners = new Set<(progress: P) => void>()
    const result = work(stop.signal, (progress) => { for (const listener of listeners) tellOne(listener, progress) })
    result.catch(() => undefined)
    const flight: Flight<T, P> = { result, stop, listeners, waiting: 0 }
    this.#flights.set(key, flight)
    return flight
  }
}

/** One who throws spoils nothing for the others. */
function tellOne<P>(listener: (progress: P) => void, progress: P): void {
  try {
    listener(progress)
  } catch (error) {
    queueMicrotask(() => { throw error })
  }
}

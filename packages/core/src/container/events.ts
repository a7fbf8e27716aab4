import type { ContainerEvent, EventOptions } from './event-types.js'
import { currentRun } from './supervision.js'

type Listener = (event: ContainerEvent) => void
type Without<T> = T extends unknown ? Omit<T, 'time' | 'id' | 'name' | 'image'> : never
export type Happening = Without<ContainerEvent>

/** Tells whoever listens; costs nothing while nobody does. */
export class Events {
  readonly #listeners = new Set<Listener>()

  tell(of: { readonly id: string; readonly name: string; readonly image: string }, what: Happening): void {
    if (this.#listeners.size === 0) return
    const event = { time: new Date(), id: of.id, name: of.name, image: of.image, ...what } as ContainerEvent
    for (const listener of this.#listeners) listener(event)
  }

  /** From the call on, whether they are read yet or not. Ends with the removal of container `id`, where one is given. */
  listen({ signal }: EventOptions, id?: string): AsyncGenerator<ContainerEvent> {
    const waiting: ContainerEvent[] = []
    let over = signal?.aborted === true
    let wake = (): void => undefined
    const listener: Listener = (event) => {
      if (id !== undefined && event.id !== id) return
      waiting.push(event)
      if (id !== undefined && event.kind === 'removed') stop()
      wake()
    }
    const stop = (): void => {
      over = true
      this.#listeners.delete(listener)
      signal?.removeEventListener('abort', stop)
      wake()
    }
    if (!over) this.#listeners.add(listener)
    signal?.addEventListener('abort', stop, { once: true })
    return (async function* events() {
      try {
        for (;;) {
          const event = waiting.shift()
          if (event !== undefined) yield event
          else if (over) return
          else await new Promise<void>((resolve) => void (wake = resolve))
        }
      } finally {
        stop()
      }
    })()
  }
}

/** See `events`. */
export async function* runEvents(options: EventOptions): AsyncGenerator<ContainerEvent> {
  yield* (await currentRun()).events.listen(options)
}

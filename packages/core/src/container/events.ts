import type { AllEventOptions, ContainerEvent, EventOptions } from './event-types.js'
import { flushEvents, noteEvent, noteEvents } from './journal.js'
import { journalled, readContainerEvents } from './journal-words.js'
import { currentRun } from './supervision.js'
import type { RunOptions } from './types.js'

type Listener = (event: ContainerEvent) => void
type Without<T> = T extends unknown ? Omit<T, 'time' | 'id' | 'name' | 'image'> : never
export type Happening = Without<ContainerEvent>

/** Whose event it is. */
export interface Subject {
  readonly id: string
  readonly name: string
  readonly image: string
  readonly labels: Readonly<Record<string, string>>
  /** When its present life began. */
  readonly startedAt: number | undefined
  readonly mounts: RunOptions['mounts']
}

/** Tells whoever listens in this process, and the journal for everybody else. */
export class Events {
  readonly #home: string
  readonly #listeners = new Set<Listener>()
  /** Those that are there, of which the journal says it, and whether their program has ended. */
  readonly #there = new Map<string, { readonly of: Subject; readonly ended: boolean }>()
  #closed = false
  readonly #close = (): void => { this.close() }

  /** `home` is the journal's. */
  constructor(home: string) {
    this.#home = home
    process.once('exit', this.#close)
  }

  /** `journal`: false for what somebody else writes down. */
  tell(of: Subject, what: Happening, journal = true): void {
    const event = { time: new Date(), id: of.id, name: of.name, image: of.image, ...what } as ContainerEvent
    for (const listener of this.#listeners) listener(event)
    if (journal && !this.#closed) this.#write(event, of)
  }

  #write(event: ContainerEvent, of: Subject): void {
    noteEvents(this.#home, () => journalled(event, of))
    const { kind } = event
    const ended = kind === 'created' || kind === 'exited' || (kind !== 'started' && kind !== 'restarted' && this.#there.get(of.id)?.ended === true)
    if (kind === 'removed') this.#there.delete(of.id)
    else this.#there.set(of.id, { of, ended })
  }

  /** The run ends, and what is still there with it: told to the journal, since nobody here waits for it. */
  close(): void {
    process.off('exit', this.#close)
    this.#closed = true
    for (const { of, ended } of this.#there.values()) {
      const event = { time: new Date(), id: of.id, name: of.name, image: of.image }
      if (!ended) this.#write({ ...event, kind: 'exited', code: -1, signal: 'SIGKILL' }, of)
      this.#write({ ...event, kind: 'removed' }, of)
    }
    flushEvents()
  }

  /** A network's. */
  tellNetwork(action: string, { id, name }: { readonly id: string; readonly name: string }, attributes: Readonly<Record<string, string>> = {}): void {
    noteEvent(this.#home, { type: 'network', action, id, time: Date.now(), attributes: { name, type: 'bridge', ...attributes } })
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
export async function* runEvents({ everywhere = false, ...options }: AllEventOptions): AsyncGenerator<ContainerEvent> {
  if (everywhere) yield* readContainerEvents(options)
  else yield* (await currentRun()).events.listen(options)
}

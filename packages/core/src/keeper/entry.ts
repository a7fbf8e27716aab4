import type { KeptContainer } from '../container/kept.js'
import type { RunningContainer } from '../container/handle.js'

/** A connection that follows a container's life, and takes it along when it ends. */
export interface Session {
  /** Settles when the connection has ended. */
  readonly gone: Promise<void>
  released: boolean
}

/** A container of this keeper. */
export interface Entry {
  record: KeptContainer
  /** While it runs, and until its end is written down. */
  container: RunningContainer | undefined
  /** Settles when the end of its present life is written down, whatever comes after it. */
  over: Promise<void>
  starting: Promise<void> | undefined
  /** Until it is started again. */
  timer: NodeJS.Timeout | undefined
  /** Milliseconds the last new start was waited for. */
  waited: number
  session: Session | undefined
  /** What is written of it comes one after the other. */
  writing: Promise<void>
}

export function entryOf(record: KeptContainer): Entry {
  return { record, container: undefined, over: Promise.resolve(), starting: undefined, timer: undefined, waited: 0, session: undefined, writing: Promise.resolve() }
}

/** Whether it runs, or will. */
export function isBusy({ container, starting, timer }: Entry): boolean {
  return container !== undefined || starting !== undefined || timer !== undefined
}

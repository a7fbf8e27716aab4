import type { CreateRequest, RawExit } from '../native/index.js'
import type { Situation } from './setting.js'

/** Where one container will be. */
export interface Place {
  readonly id: string
  readonly address: number | undefined
}

/** A place for one container, and how its program begins there. Used once. */
export interface Slot extends Place {
  readonly exit: Promise<RawExit>
  /** For what it has carried out all but the program. Absent for a slot of no kind. */
  readonly situation?: Situation | undefined
  /** Sends the rest of the operation list; resolves when the program has been executed. */
  start(rest: Rest): Promise<void>
  /** Gives the address back and forgets the container's end. */
  free(): void
}

export type Rest = Pick<CreateRequest, 'flags' | 'label' | 'scratch' | 'cgroup' | 'logCap' | 'operations'>

export interface Prepared extends Slot {
  readonly foundation: Buffer
  state: 'waiting' | 'taken' | 'dead'
}

export interface Waiting {
  /** Nothing when it could not be made. */
  readonly slot: Promise<Prepared | undefined>
  /** From now on somebody waits for it: this process stays until it is there. */
  hold(): void
}

/** At most so many slots wait, and so many of one kind, about 350 kB each. */
export const MOST = 16

import type { MayflyError } from '../errors.js'
import type { Image } from '../images/index.js'
import type { RawExit } from '../native/index.js'
import type { Rights } from '../sandbox/index.js'
import type { DriverName } from './drivers.js'
import type { Checkup } from './health.js'
import type { Inside } from './inside.js'
import type { Label } from './label.js'
import type { PublishedPort } from './publish.js'
import type { Run } from './supervision.js'
import type { RunOptions } from './types.js'

/** What a container's handle is made of. */
export interface HandleInput {
  readonly run: Run
  readonly id: string
  readonly name: string
  readonly image: Image
  readonly options: Omit<RunOptions, 'seccomp' | 'devices'> & Rights
  readonly address: number | undefined
  readonly inside: Inside
  readonly accounts: () => Promise<readonly [string, string]>
  readonly checkup: Checkup | undefined
  readonly exit: Promise<RawExit>
  /** Starts its program. */
  readonly begin: () => Promise<void>
  /** Starts it once more, after its end; gives its new end. */
  readonly again: () => Promise<{ readonly exit: Promise<RawExit> }>
  /** Tells the others its new name. */
  readonly renamed: (name: string) => Promise<void>
  /** Those on the machine. */
  readonly published: readonly PublishedPort[]
  /** See `Published`. */
  readonly refusal: Promise<MayflyError>
  readonly closed: () => void
  /** Directory of its changes; empty when they are in memory. */
  readonly scratch: string
  /** As the caller gave them. */
  readonly given: RunOptions
  readonly driver: DriverName
  readonly label: Label
  /** Whether others hear of it from here; of one that is kept they hear from its keeper. */
  readonly journal: boolean
}

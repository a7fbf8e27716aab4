import type { HealthStatus } from './health-types.js'

/** What happened to a container. */
export type ContainerEvent = {
  readonly time: Date
  /** The container's id. */
  readonly id: string
  readonly name: string
  readonly image: string
} & (
  | { readonly kind: 'created' | 'started' | 'restarted' | 'paused' | 'unpaused' | 'stopped' | 'removed' }
  /** `code` is -1 when a signal ended it. */
  | { readonly kind: 'exited'; readonly code: number; readonly signal: string | undefined }
  /** A memory limit ended it; `exited` follows. */
  | { readonly kind: 'oom' }
  | { readonly kind: 'killed'; readonly signal: string }
  | { readonly kind: 'health_status'; readonly status: HealthStatus }
  | { readonly kind: 'renamed'; readonly from: string }
  /** An image was made of it; `reference` is empty when that has no name, `message` when none was given. */
  | { readonly kind: 'committed'; readonly imageId: string; readonly reference: string; readonly message: string }
)

export interface EventOptions {
  /** Ends it. */
  readonly signal?: AbortSignal | undefined
}

export interface AllEventOptions extends EventOptions {
  /**
   * Those of all runs of this user with this MAYFLY_HOME, the command line's among them, which come some 25 ms later. What a
   * killed process would have told of its containers' end is missing. Default false: this process's.
   */
  readonly everywhere?: boolean | undefined
  /** With `everywhere`: begin with what happened from then on, of which the last 1 to 2 MiB are kept. A Date, or milliseconds since 1970. */
  readonly since?: Date | number | undefined
}

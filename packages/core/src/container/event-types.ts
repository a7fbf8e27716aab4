import type { HealthStatus } from './health-types.js'

/** What happened to a container. Times are this process's. */
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
)

export interface EventOptions {
  /** Ends it. */
  readonly signal?: AbortSignal | undefined
}

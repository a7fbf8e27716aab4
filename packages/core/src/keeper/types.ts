import type { NetworkRequest } from '../container/named.js'
import type { RestartPolicy } from '../container/restart.js'
import type { CommitOptions, LimitOptions, RunOptions } from '../container/types.js'

/** What a container of the background run is made of. */
export interface KeptRequest {
  readonly image: string
  readonly options: RunOptions
  /** Names of networks. */
  readonly networks?: readonly string[] | undefined
  /** Take it away when it ends. */
  readonly remove?: boolean | undefined
  readonly restart?: RestartPolicy | undefined
  /** Milliseconds. */
  readonly stopTimeout?: number | undefined
}

/** How to end a container; milliseconds. */
export interface EndRequest {
  readonly timeout?: number | undefined
  readonly signal?: string | undefined
}

/** What changes; the rest stays. */
export interface UpdateRequest {
  readonly restart?: RestartPolicy | undefined
  readonly limits?: LimitOptions | undefined
}

/**
 * One line of JSON on the keeper's socket, answered by one of `{ ok }` or `{ error }`. Containers are named by their whole
 * ids; one that the keeper does not have is answered by `{}`.
 */
export type KeeperRequest =
  /** One that is `attached` ends with the connection, which hears how it ended. */
  | { readonly do: 'run', readonly attached?: boolean } & KeptRequest
  | { readonly do: 'create' } & KeptRequest
  | { readonly do: 'start', readonly container: string, readonly attached?: boolean, readonly options?: Pick<RunOptions, 'tty'> }
  /** An attached container stays when the connection ends. */
  | { readonly do: 'release', readonly container: string }
  | { readonly do: 'kill', readonly container: string, readonly signal: string }
  | { readonly do: 'stop' | 'restart', readonly container: string } & EndRequest
  | { readonly do: 'pause' | 'unpause', readonly container: string }
  /** Its files, of one that does not run, until the connection ends; answered by what the supervisor calls them, and their run. */
  | { readonly do: 'files', readonly container: string }
  | { readonly do: 'rename', readonly container: string, readonly name: string }
  | { readonly do: 'update', readonly container: string } & UpdateRequest
  | { readonly do: 'commit', readonly container: string, readonly options: CommitOptions }
  | { readonly do: 'remove', readonly container: string, readonly force: boolean }
  | { readonly do: 'network', readonly request: NetworkRequest }

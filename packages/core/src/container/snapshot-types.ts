import type { RunOptions } from './run-options.js'
import type { Container, StopOptions } from './types.js'

export interface CommitOptions {
  /** What the image is called; default nothing. */
  readonly name?: string | undefined
  readonly message?: string | undefined
  readonly author?: string | undefined
  /** Instructions as in a Dockerfile that change the image's settings: `CMD ["x"]`. */
  readonly changes?: readonly string[] | undefined
  /** Whether the container stands still meanwhile, where the machine can have it so. Default true. */
  readonly pause?: boolean | undefined
}

export interface CommittedImage {
  /** Digest of the configuration. */
  readonly id: string
  /** Digest of the manifest, until the image is pushed or saved: then its layers are compressed, and the manifest is another. */
  readonly digest: string
}

export interface SnapshotOptions extends StopOptions {
  /** What it is found by later: letters, digits and dashes. Default: made up. */
  readonly key?: string | undefined
  /** Free text for listings. */
  readonly label?: string | undefined
  /**
   * The container goes on. It stands still while its changes are copied: they are as they would be after a loss of power, from which
   * databases recover, and what programs had not written yet is missing. For what cannot be stopped. Default false.
   */
  readonly live?: boolean | undefined
  /** Files that belong to the stopped process only, besides sockets and what lies in /run and /tmp: `var/lib/x/*.pid`. */
  readonly clear?: readonly string[] | undefined
}

export interface SnapshotInfo {
  readonly key: string
  readonly label: string
  readonly image: string
  readonly createdAt: Date
  /** Bytes of the files it keeps. */
  readonly size: number
}

/** Files of a container, kept in the store until removed. */
export interface Snapshot extends SnapshotInfo {
  /** Starts a container from it: with the first one's options, but for its name and fixed ports on the host, and `options`. */
  run(options?: RunOptions): Promise<Container>
  /** Throws ERR_MAYFLY_STORE_BUSY while containers run from it. */
  remove(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

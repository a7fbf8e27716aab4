import type { Readable } from 'node:stream'
import type { LimitOptions } from '../container/types.js'
import type { Digest } from '../digest.js'
import type { PullProgress } from '../images/progress.js'

export interface BuildOptions {
  /**
   * Directory of the build context, or a tar of it (plain, gzip, and what the machine has programs for); the URL of such a
   * tar, of a Dockerfile, or of a git repository (`https://host/repository.git#ref:directory`).
   */
  readonly context: string | Readable
  /** Path of the Dockerfile, in a context that is no directory within it. Default: `Dockerfile` in the context. */
  readonly file?: string | undefined
  /** Its text, instead of a file. */
  readonly dockerfile?: string | undefined
  /** Names the image gets. */
  readonly tags?: readonly string[] | undefined
  readonly buildArgs?: Readonly<Record<string, string>> | undefined
  /** The stage to build; default the last. */
  readonly target?: string | undefined
  readonly labels?: Readonly<Record<string, string>> | undefined
  /** `os/architecture`. Default: this machine's. */
  readonly platform?: string | undefined
  /** Do every step anew. Default false. */
  readonly noCache?: boolean | undefined
  /** Stages, by name, whose every step is done anew. */
  readonly noCacheFilter?: readonly string[] | undefined
  /** Ask registries what base images are now. Default false. */
  readonly pull?: boolean | undefined
  /** For RUN. Default `default`. */
  readonly network?: 'default' | 'none' | 'host' | undefined
  /** By id: a file, a variable of this process's environment, or the value. */
  readonly secrets?: Readonly<Record<string, { readonly file: string } | { readonly env: string } | { readonly value: string }>> | undefined
  /** Sockets of ssh agents for RUN, by id. Default: `default` is SSH_AUTH_SOCK. */
  readonly ssh?: Readonly<Record<string, string>> | undefined
  /** Further contexts for `COPY --from` and `FROM`, by name: a directory, or `docker-image://reference`. */
  readonly contexts?: Readonly<Record<string, string>> | undefined
  readonly extraHosts?: Readonly<Record<string, string>> | undefined
  readonly shmSize?: number | string | undefined
  readonly ulimits?: Readonly<Record<string, number | { readonly soft: number; readonly hard: number }>> | undefined
  /** Of each RUN's container. */
  readonly limits?: LimitOptions | undefined
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((event: BuildEvent) => void) | undefined
}

/** What a build tells while it runs. */
export type BuildEvent =
  | { readonly kind: 'step'; readonly step: BuildStep; readonly state: 'started' | 'cached' | 'done' | 'failed'; readonly ms: number }
  | { readonly kind: 'output'; readonly step: BuildStep; readonly stream: 'stdout' | 'stderr'; readonly text: string }
  /** Of the base image that the step pulls. */
  | { readonly kind: 'pull'; readonly step: BuildStep; readonly progress: PullProgress }
  | { readonly kind: 'warning'; readonly text: string }

export interface BuildStep {
  /** Unique in the build. */
  readonly id: number
  /** `stage name 2/5`, or empty for what belongs to none. */
  readonly label: string
  readonly text: string
}

export interface BuiltImage {
  /** Digest of the configuration. */
  readonly id: Digest
  /** Digest of the manifest, until the image is pushed or saved: then its layers are compressed, and the manifest is another. */
  readonly digest: Digest
  readonly tags: readonly string[]
}

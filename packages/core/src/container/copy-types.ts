import type { Readable } from 'node:stream'

/** What is copied into a container. */
export type CopySource =
  /** A file or directory of this machine; relative to this process's directory. With `/.` at its end, what is in it. */
  | string
  /** A file's content. A stream is read whole first. */
  | { readonly content: string | Uint8Array | Readable }
  /** A plain tar, whole or as a stream of bytes such as tar-stream's, whose entries count from the target. */
  | { readonly tar: Uint8Array | AsyncIterable<unknown> }

export interface CopyOptions {
  /** Milliseconds; then it ends with ERR_MAYFLY_TIMEOUT. Default: none. */
  readonly timeout?: number | undefined
  readonly signal?: AbortSignal | undefined
  /** A link at the end of the source's path is followed. Default false: the link itself is copied. */
  readonly follow?: boolean | undefined
  /** Owners stay who they are. Default false. */
  readonly archive?: boolean | undefined
  /** Missing directories above the target are made. Default true. */
  readonly parents?: boolean | undefined
}

export interface CopyInOptions extends CopyOptions {
  /** Whose the copies are, `user[:group]`, names or numbers; of a `tar` without it, whose its entries say. Default root's. */
  readonly user?: string | undefined
  /** Permissions of the files, such as 0o644; directories can be searched by whoever may read them. Default: the source's, 0o644 for content. */
  readonly mode?: number | undefined
}

/** What is copied into a container before its program starts. */
export type StartCopy = CopyInOptions & { readonly target: string } & (
  | { readonly source: string }
  | { readonly content: string | Uint8Array | Readable }
  | { readonly tar: Uint8Array | AsyncIterable<unknown> }
)

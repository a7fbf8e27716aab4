export interface VolumeOptions {
  /** Letters, digits, dots, hyphens and underscores. One of this name is taken up again. Default: made up. */
  readonly name?: string | undefined
  readonly labels?: Readonly<Record<string, string>> | undefined
}

/** A directory that containers share, or that outlives them: `mounts: [{ volume, target: '/data' }]`. */
export interface Volume {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly createdAt: Date
  /** Where its files lie on this machine. */
  readonly directory: string
  /** Throws ERR_MAYFLY_VOLUME_IN_USE while containers have it. */
  remove(): Promise<void>
  /** Removes it, unless it has a name of its own. */
  [Symbol.asyncDispose](): Promise<void>
}

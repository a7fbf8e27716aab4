/** What of the options shapes the sandbox: its place, its limits, its rights and its program. */
export interface SandboxOptions {
  /** Added to the image's environment; `undefined` removes a name. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined
  /** Replaces the image's CMD. A string runs under `/bin/sh -c`. */
  readonly command?: readonly string[] | string | undefined
  /** Replaces the image's ENTRYPOINT, and its CMD unless `command` is given; `[]` removes it. */
  readonly entrypoint?: readonly string[] | string | undefined
  readonly mounts?: readonly Mount[] | undefined
  /** Directories on a fresh tmpfs; text as in Docker: `/tmp` or `/tmp:size=64m`. */
  readonly tmpfs?: readonly string[] | undefined
  /** Bytes, or text such as `256m`; swap is not added to it. */
  readonly memory?: number | string | undefined
  /** Processors' worth of time, fractions allowed. */
  readonly cpus?: number | undefined
  /** Most processes and threads at a time. Default 4096. */
  readonly pids?: number | undefined
  /** `user[:group]`, names or numbers. */
  readonly user?: string | undefined
  readonly workdir?: string | undefined
  /** Default: the first 12 characters of the id. */
  readonly hostname?: string | undefined
  /** `NET_ADMIN`, `CAP_NET_ADMIN` or `ALL`. */
  readonly capAdd?: readonly string[] | undefined
  readonly capDrop?: readonly string[] | undefined
  /** All capabilities, no seccomp filter, no masked paths. Default false. */
  readonly privileged?: boolean | undefined
  /** A read-only root file system. Default false. */
  readonly readonly?: boolean | undefined
  /** Size of /dev/shm. Default `64m`. */
  readonly shmSize?: number | string | undefined
  readonly ulimits?: Readonly<Record<string, number | { readonly soft: number; readonly hard: number }>> | undefined
  readonly sysctls?: Readonly<Record<string, string>> | undefined
  readonly extraHosts?: Readonly<Record<string, string>> | undefined
  readonly dns?: readonly string[] | undefined
}

export interface Mount {
  /** A file or directory of the host. */
  readonly source: string
  readonly target: string
  readonly readonly?: boolean | undefined
}

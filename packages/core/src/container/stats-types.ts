/** Where the machine gives Mayfly no cgroups: what the processes that run at the moment have. */
export interface ContainerStats {
  /** Bytes; 0 where the machine does not count. */
  readonly memory: number
  readonly memoryPeak: number
  /** Nanoseconds of processor time. */
  readonly cpu: number
  readonly pids: number
  /** Bytes from and to block devices; what the page cache still holds is not counted. */
  readonly io: { readonly read: number; readonly written: number }
  /** Bytes through its network interfaces, the loopback left out. */
  readonly network: { readonly received: number; readonly sent: number }
}

/** A process in a container. */
export interface ContainerProcess {
  /** Inside the container, and on this machine. */
  readonly pid: number
  readonly hostPid: number
  /** This machine's number of its user. */
  readonly user: number
  /** The kernel's letter: R, S, D, T, Z. */
  readonly state: string
  readonly command: readonly string[]
  /** Nanoseconds of processor time. */
  readonly cpu: number
  /** Bytes it has in memory. */
  readonly memory: number
}

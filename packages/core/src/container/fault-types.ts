import type { Protocol } from '../network/ports.js'

/** As seen from a client: `up` is what goes to the container, `down` what comes from it. */
export type Direction = 'up' | 'down' | 'both'

/** What a fault concerns; all that passes the container's interfaces when nothing is said. */
export interface FaultScope {
  readonly direction?: Direction | undefined
  /** Only what passes between it and this container. */
  readonly peer?: { readonly id: string } | undefined
  /** Only connections and datagrams of which either end has this port. */
  readonly port?: number | undefined
  readonly protocol?: Protocol | undefined
}

/** A fault that is on. Gone with the container, too. */
export interface Fault extends AsyncDisposable {
  /** Such as `latency of 50 ms, down`. */
  readonly description: string
  /** All is as before. Harmless when it is off already. */
  clear(): Promise<void>
}

/**
 * What can go wrong between a container and whoever talks to it, and with the container itself. Several faults add up.
 * Those of the network throw ERR_MAYFLY_UNSUPPORTED for a container without an interface of its own (`network: 'host'`,
 * `'none'`, `'container:…'`).
 */
export interface Faults {
  /** Every packet takes so much longer, give or take `jitter` milliseconds, and none overtakes another. Default direction `down`. */
  latency(options: FaultScope & { readonly ms: number; readonly jitter?: number | undefined }): Promise<Fault>
  /** At most so many bytes in a second, each way: a number or text such as `64k`. Default direction `both`. */
  bandwidth(options: FaultScope & { readonly rate: number | string }): Promise<Fault>
  /** Silence: nothing arrives and nobody is told. Default direction `both`. */
  timeout(scope?: FaultScope): Promise<Fault>
  /**
   * Connections break: those there are at once, new ones are refused. With `after`, every connection once so many bytes
   * have passed in a direction. Datagrams vanish. Default direction `both`.
   */
  cut(options?: FaultScope & { readonly after?: number | undefined }): Promise<Fault>
  /** The end of a connection is told so much later. Default direction `down`. */
  slowClose(options: FaultScope & { readonly ms: number }): Promise<Fault>
  /** Breaks the connections there are, once; new ones are as good as ever. How many there were. */
  reset(scope?: Pick<FaultScope, 'peer' | 'port'>): Promise<number>
  /** Its processes stand still; clients wait. */
  pause(): Promise<Fault>
  /** It may use so many bytes more than it does now, and is killed for more: a number or text such as `8m`. */
  memory(options: { readonly free: number | string }): Promise<Fault>
  /** Its writable layer has so many bytes left; default none. For containers started with `storage`. */
  disk(options?: { readonly free?: number | string | undefined }): Promise<Fault>
  /** Sends a signal to its first process. Default SIGKILL. */
  kill(signal?: string | number): Promise<void>
  /** Ends all that are on. */
  clear(): Promise<void>
}

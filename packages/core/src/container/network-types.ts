import type { Container } from './types.js'
import type { Direction, Fault } from './fault-types.js'

export interface NetworkOptions {
  /** Unique among the networks of this process. Default: made up from the id. */
  readonly name?: string | undefined
  /** Nothing outside of it is reached from it. Default false. */
  readonly internal?: boolean | undefined
  /** Containers at a time, 1 to 1021. Default 29. */
  readonly size?: number | undefined
  readonly labels?: Readonly<Record<string, string>> | undefined
  /** `172.28.0.0/16`: its containers' addresses, which can then be chosen. Default: a part of 198.18.0.0/15 that is free. */
  readonly subnet?: string | undefined
  /** The address in it that leads out. Default: its first. */
  readonly gateway?: string | undefined
  /** `172.28.5.0/24`: what lies in it is given to containers that choose none. Default: the whole subnet. */
  readonly ipRange?: string | undefined
}

/** A server of this machine: one of node:net's or node:http's that listens, or a port of the loopback. */
export type Listening = number | { address(): { readonly port: number; readonly address: string } | string | null }

/** A server of this machine as containers see it. */
export interface Reached {
  /** `host.mayfly.internal`; `host.docker.internal` is the same. */
  readonly host: string
  /** The server's own port. */
  readonly port: number
  /** `scheme://host:port`. Default scheme `http`. */
  url(scheme?: string): string
  /** From now on nobody reaches it; connections go on. */
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

export interface ConnectOptions {
  /** Names beside the container's own. */
  readonly aliases?: readonly string[] | undefined
  /** Its address there, in a network with a subnet that was chosen. Default: one that is free. */
  readonly ip?: string | undefined
}

export interface NetworkMember {
  readonly id: string
  readonly name: string
  readonly ip: string
  readonly aliases: readonly string[]
}

export interface PartitionOptions {
  /** As seen from the one side: `up` is what goes to it, `down` what comes from it. Default `both`. */
  readonly direction?: Direction | undefined
}

/** One container, or several. */
export type Side = Pick<Container, 'id' | 'name'> | readonly Pick<Container, 'id' | 'name'>[]

/** A private network: its containers reach one another by name and alias, and those of other networks not at all. */
export interface Network {
  readonly id: string
  readonly name: string
  readonly internal: boolean
  readonly labels: Readonly<Record<string, string>>
  readonly createdAt: Date
  /** `198.18.4.0/27` */
  readonly subnet: string
  readonly gateway: string
  /** Where addresses are given out from, if that was chosen. */
  readonly ipRange: string | undefined
  readonly containers: readonly NetworkMember[]
  /** A further interface for a running container. Throws ERR_MAYFLY_OPTION_INVALID when it is connected already. */
  connect(container: Pick<Container, 'id' | 'name'>, options?: ConnectOptions): Promise<void>
  disconnect(container: Pick<Container, 'id' | 'name'>): Promise<void>
  /** Lets its containers reach a server of this machine, as `host.mayfly.internal`. */
  reach(server: Listening): Promise<Reached>
  /** Nothing passes between the two, or between any of the one side and any of the other, until it is cleared. */
  partition(one: Side, other: Side, options?: PartitionOptions): Promise<Fault>
  /** Throws ERR_MAYFLY_NETWORK_IN_USE while it has containers; disposal takes it away from them. */
  remove(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

import { MayflyError } from '../errors.js'
import { openForward, type Forward } from './forward.js'
import { exportsOf, factsOf, portsOf } from './start.js'
import type { Facts } from './presets.js'
import type { Self, Service } from './types.js'

/** The address of one service in one slot: fixed for the run, whatever instance stands behind it. */
export interface StableAddress {
  readonly self: Self
  readonly address: Address
  /** Connections go to this instance from now on, held ones included. */
  aim(instance: Reachable): void
  /** Holds new connections again, unless another instance has taken over. */
  drop(instance: Reachable): void
  close(): void
}

/** The part of a container that an address points at. */
export interface Reachable {
  readonly host: string
  port(container: number): number
}

/** How an instance is reached, as plain values. */
export interface Address {
  readonly host: string
  readonly ports: Readonly<Record<string, number>>
  readonly facts: Facts
  readonly exports: Readonly<Record<string, string>>
}

/** Opens the address of a service in a slot: one held port for every port known before the start. */
export async function openAddress(service: Service): Promise<StableAddress> {
  let current: Reachable | undefined
  const forwards = new Map<number, Forward>()
  for (const port of portsOf(service)) forwards.set(port, await openForward())
  const ports = Object.fromEntries([...forwards].map(([port, forward]) => [String(port), forward.port]))
  const self: Self = { host: '127.0.0.1', port: container => numberOf(ports, container) }
  const address = { host: self.host, ports, facts: factsOf(service, self), exports: exportsOf(service, self) }
  return {
    self,
    address,
    aim: instance => {
      current = instance
      for (const [port, forward] of forwards) forward.aim({ host: instance.host, port: instance.port(port) })
    },
    drop: instance => {
      if (current !== instance) return
      current = undefined
      for (const forward of forwards.values()) forward.aim(undefined)
    },
    close: () => {
      for (const forward of forwards.values()) forward.close()
    },
  }
}

/** The number of a container's port among `ports`. Throws ERR_MAYFLY_OPTION_INVALID with those there are. */
export function numberOf(ports: Readonly<Record<string, number>>, container: number): number {
  const number = ports[String(container)]
  if (number !== undefined) return number
  throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `Port ${String(container)} is not reachable`, {
    hint: `Reachable are: ${Object.keys(ports).join(', ') || 'none'}. List further ones in \`ports\`.`,
  })
}

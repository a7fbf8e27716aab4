import type { FoundImage } from '../container/index.js'
import { isMayflyError } from '../errors.js'
import { numberOf, type Address } from './address.js'
import { exportsOf, factsOf, portsOf, udpPortsOf, type Engine, type Setting } from './start.js'
import type { Self, Service } from './types.js'

/** The address of one service in one slot: fixed for the run, whatever instance stands behind it. */
export interface StableAddress {
  readonly self: Self
  readonly address: Address
  /** Nothing stands behind it: connections are held. */
  readonly holds: boolean
  /** Connections go to this instance from now on, held ones included. */
  aim(instance: Reachable): Promise<void>
  /** Takes an instance away: new connections go to the one before it if that still lives, else they are held again. Nothing for an instance that never was. */
  drop(instance: Reachable | undefined): Promise<void>
  close(): Promise<void>
}

/** The part of a container that an address points at. */
export interface Reachable {
  readonly id: string
  readonly ip: string
}

/** What its image EXPOSEs. */
export type Exposed = Pick<FoundImage, 'ports' | 'udpPorts'>

/** Opens the address of a service in a slot: for the ports its options and preset name, and those its image EXPOSEs. */
export async function openAddress(
  engine: Engine, service: Service, exposed: Exposed, { inside, ...setting }: Omit<Setting, 'self'> & { readonly inside?: Self['inside'] | undefined } = {},
): Promise<StableAddress> {
  const held = await engine.openHeldAddress([...new Set([...portsOf(service), ...exposed.ports])], [...new Set([...udpPortsOf(service), ...exposed.udpPorts])])
  const self: Self = { host: held.host, port: container => numberOf(held.ports, container), ...(inside === undefined ? {} : { inside }) }
  // Latest last: a file's own instance may stand before the worker's, which comes back after it.
  let instances: readonly Reachable[] = []
  const retarget = async (): Promise<void> => {
    try {
      await held.aim(instances.at(-1))
    } catch (error) {
      // It ended meanwhile, and the supervisor holds connections again by itself.
      if (!isMayflyError(error) || error.code !== 'ERR_MAYFLY_CONTAINER_NOT_FOUND') throw error
    }
  }
  return {
    self,
    get holds() { return instances.length === 0 },
    address: { host: self.host, ports: held.ports, udp: held.udp, facts: factsOf(service, { ...setting, self }), exports: exportsOf(service, { ...setting, self }) },
    aim: async instance => {
      instances = [...instances, instance]
      await retarget()
    },
    drop: async instance => {
      if (instance === undefined) return
      const current = instances.at(-1) === instance
      instances = instances.filter(one => one !== instance)
      if (current) await retarget()
    },
    close: () => held.close(),
  }
}

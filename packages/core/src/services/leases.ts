import type { Container } from '../container/types.js'
import type { Address, StableAddress } from './addresses.js'
import { factsOf, portsOf, startService, type Engine } from './start.js'
import type { Scope, Service } from './types.js'

/** What a worker asks for. Equal in all but `attempt`: the newest evicts the older. */
export interface Wish {
  readonly slot: number
  /** The service's identity: its configuration file, or nothing, and its name. */
  readonly config: string | undefined
  readonly name: string
  /** Two uses of one name in one file are two instances when they are called differently. */
  readonly as: string
  readonly file: string
  readonly attempt: string
  readonly scope: Scope
}

export interface Grant {
  readonly lease: string
  readonly id: string
  readonly name: string
  readonly ip: string
  readonly address: Address
}

/** The live instances of a run and who holds them. */
export interface Leases {
  take(wish: Wish, service: Service, stable: StableAddress | undefined): Promise<Grant>
  /** Ends a file-scoped instance at once; others live as long as the run. */
  giveBack(lease: string): Promise<void>
  container(lease: string): Promise<Container> | undefined
}

interface Instance {
  readonly key: string
  readonly wish: Wish
  readonly started: Promise<Container>
  readonly stable: StableAddress | undefined
  ended: boolean
}

/** A table of leases over an engine. Starting is single-flight per key: (slot, service, file, name of the use). */
export function createLeases(engine: Engine): Leases {
  const instances = new Map<string, Instance>()

  const end = async (instance: Instance): Promise<void> => {
    if (instance.ended) return
    instance.ended = true
    if (instances.get(instance.key) === instance) {
      instances.delete(instance.key)
      instance.stable?.aim(undefined)
    }
    const container = await instance.started.catch(() => undefined)
    await container?.stop({ timeout: 0 })
  }

  const take = async (wish: Wish, service: Service, stable: StableAddress | undefined): Promise<Grant> => {
    const key = keyOf(wish)
    let instance = instances.get(key)
    if (instance !== undefined && wish.scope === 'file' && instance.wish.attempt !== wish.attempt) {
      void end(instance)
      instance = undefined
    }
    if (instance === undefined) {
      instance = { key, wish, stable, started: startService(engine, service, stable?.self), ended: false }
      instances.set(key, instance)
      aimWhenReady(instance)
    }
    const container = await instance.started
    return { lease: key, id: container.id, name: container.name, ip: container.ip, address: addressOf(service, instance, container) }
  }

  const aimWhenReady = (instance: Instance): void => {
    const gone = (): void => {
      if (instances.get(instance.key) === instance) instances.delete(instance.key)
    }
    instance.started.then(container => {
      if (!instance.ended) instance.stable?.aim(container)
    }, gone)
  }

  return {
    take,
    giveBack: async lease => {
      const instance = instances.get(lease)
      if (instance?.wish.scope === 'file') await end(instance)
    },
    container: lease => instances.get(lease)?.started,
  }
}

function keyOf({ slot, config, name, as, file, scope }: Wish): string {
  const owner = { run: [], worker: [slot], file: [slot, file, as] }[scope]
  return JSON.stringify([config ?? null, name, ...owner])
}

function addressOf(service: Service, { stable }: Instance, container: Container): Address {
  if (stable !== undefined) return stable.address
  const ports = Object.fromEntries(portsOf(service).map(port => [String(port), container.port(port)]))
  return { host: container.host, ports, facts: factsOf(service, container), exports: {} }
}

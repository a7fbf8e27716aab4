import type { FoundImage } from '../container/index.js'
import type { Container, RunOptions } from '../container/types.js'
import type { Address, StableAddress } from './addresses.js'
import type { Images } from './images.js'
import type { WarmPool } from './pool.js'
import type { Prepared } from './prepared.js'
import { addressOf, needsAddress, startService, type Engine } from './start.js'
import { traceStart, type Source } from './trace.js'
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
  /** One of several tests that run at the same time: its instance stands beside theirs and evicts none. */
  readonly concurrent: boolean
}

export interface Grant {
  readonly lease: string
  readonly scope: Scope
  readonly id: string
  readonly name: string
  readonly ip: string
  readonly address: Address
}

/** The live instances of a run and who holds them. */
export interface Leases {
  take(wish: Wish, service: Service, address: AddressOf): Promise<Grant>
  /** Ends an instance of a file or a test at once; others live as long as the run. */
  giveBack(lease: string): Promise<void>
  /** Also one that ended by itself. */
  container(lease: string): Promise<Container | undefined>
}

/** The address a new instance is put behind, if its own will not do. */
export type AddressOf = () => Promise<StableAddress | undefined> | undefined

interface Instance {
  readonly key: string
  readonly wish: Wish
  readonly started: Promise<Started>
  readonly abort: AbortController
}

/** What instances are made with. */
export interface Supply {
  readonly engine: Engine
  readonly images: Images
  readonly prepared: Prepared
  readonly pool: WarmPool
}

interface Started {
  readonly container: Container
  readonly stable: StableAddress | undefined
}

/** A table of leases over an engine. Starting is single-flight per key: (slot, service, file, name of the use, and of concurrent tests the test). */
export function createLeases({ engine, images, prepared, pool }: Supply): Leases {
  const instances = new Map<string, Instance>()
  /** Those that ended by themselves, until they are given back: their logs tell why. */
  const ended = new Map<string, Container>()

  const forget = (instance: Instance): void => {
    if (instances.get(instance.key) === instance) instances.delete(instance.key)
  }
  const end = async (instance: Instance): Promise<void> => {
    forget(instance)
    instance.abort.abort()
    const started = await instance.started.catch(() => undefined)
    if (started === undefined) return
    await started.stable?.drop(started.container)
    await started.container.stop({ timeout: 0 })
  }
  const supply = async (
    { config, name, scope }: Wish, service: Service, image: FoundImage, stable: StableAddress | undefined, signal: AbortSignal,
  ): Promise<{ container: Container; source: Source }> => {
    const { prepare } = service.options
    const state = prepare === undefined || config === undefined ? undefined
      : (options: RunOptions) => prepared.of(service, { config, name }, image, options)
    const start = (own?: AbortSignal): Promise<Container> => startService(engine, service, { self: stable?.self, signal: own, prepared: state })
    const fresh = state === undefined ? 'image' : 'snapshot'
    // One that is made for its address, or lives as long as the run, cannot wait for whoever comes.
    if (!isOwn(scope) || needsAddress(service) || isFixed(service)) return { container: await start(signal), source: fresh }
    const { container, waited } = await pool.take(JSON.stringify([config ?? null, name]), () => start())
    return { container, source: waited ? 'pool' : fresh }
  }
  const begin = async (wish: Wish, service: Service, address: AddressOf, signal: AbortSignal): Promise<Started> => {
    const image = await images.of(service)
    const stable = await address()
    try {
      const began = performance.now()
      const { container, source } = await supply(wish, service, image, stable, signal)
      if (!signal.aborted) await stable?.aim(container)
      await traceStart({ source, name: wish.as, slot: wish.slot, image, began, container, address: stable?.address ?? addressOf(service, container) })
      return { container, stable }
    } catch (error) {
      await stable?.drop(undefined)
      throw error
    }
  }
  const start = (key: string, wish: Wish, service: Service, address: AddressOf): Instance => {
    const abort = new AbortController()
    const started = begin(wish, service, address, abort.signal)
    const instance: Instance = { key, wish, started, abort }
    instances.set(key, instance)
    const follow = async ({ container, stable }: Started): Promise<void> => {
      await container.exit
      // One that ended by itself is not handed out again.
      forget(instance)
      if (!abort.signal.aborted) ended.set(instanceOf(instance), container)
      await stable?.drop(container)
    }
    // Without a run there is neither an instance nor an address left to look after.
    started.then(follow).catch(() => forget(instance))
    return instance
  }
  const take = async (wish: Wish, service: Service, address: AddressOf): Promise<Grant> => {
    const key = keyOf(wish)
    const there = instances.get(key)
    const evicted = isOwn(wish.scope) && there !== undefined && there.wish.attempt !== wish.attempt
    if (evicted) void end(there)
    const instance = there === undefined || evicted ? start(key, wish, service, address) : there
    const { container, stable } = await instance.started
    const reached = stable?.address ?? addressOf(service, container)
    return { lease: instanceOf(instance), scope: wish.scope, id: container.id, name: container.name, ip: container.ip, address: reached }
  }
  const find = (lease: string): Instance | undefined =>
    [...instances.values()].find(instance => instanceOf(instance) === lease)

  return {
    take,
    giveBack: async lease => {
      const instance = find(lease)
      if (instance !== undefined && isOwn(instance.wish.scope)) await end(instance)
      const gone = ended.get(lease)
      ended.delete(lease)
      await gone?.stop({ timeout: 0 })
    },
    container: async lease => ended.get(lease) ?? (await find(lease)?.started)?.container,
  }
}

/** A lease of an evicted instance must not end its successor: only the key and the attempt together name it. */
function instanceOf({ key, wish }: Instance): string {
  return `${wish.attempt} ${key}`
}

/** Whether there can be only one of it at a time. */
function isFixed({ options: { ports = [], name } }: Service): boolean {
  return name !== undefined || ports.some(port => typeof port === 'object' && (port.host ?? 0) !== 0)
}

/** Whether an instance of this scope belongs to one lease alone. */
function isOwn(scope: Scope): boolean {
  return scope === 'file' || scope === 'test'
}

function keyOf({ slot, config, name, as, file, scope, attempt, concurrent }: Wish): string {
  const test = concurrent ? [attempt] : []
  const owner = { run: [], worker: [slot], file: [slot, file, as], test: [slot, file, as, 'test', ...test] }[scope]
  return JSON.stringify([config ?? null, name, ...owner])
}

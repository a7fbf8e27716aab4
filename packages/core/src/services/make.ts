import type { FoundImage } from '../container/index.js'
import type { Container, Network, RunOptions } from '../container/types.js'
import { openAddress, type StableAddress } from './addresses.js'
import type { Admission } from './admission.js'
import type { Images } from './images.js'
import type { Journal, Source } from './journal.js'
import { isOwn, keyOf, type Leases, type Made, type Make, type Wish } from './leases.js'
import type { WarmPool } from './pool.js'
import type { Place, Prepared } from './prepared.js'
import { stateOf } from './resolve.js'
import { addressOf, environmentOf, factsOf, insideFactsOf, needsAddress, presetOf, runOptions, startService, type Engine, type Setting } from './start.js'
import type { Inside, Service } from './types.js'

/** What instances are made with. */
export interface Supply {
  readonly engine: Engine
  readonly images: Images
  readonly prepared: Prepared
  readonly pool: WarmPool
  readonly admission: Admission
  readonly journal: Journal
  readonly leases: () => Pick<Leases, 'hold'>
}

/** Starts instances ahead of the first lease. */
export async function fillPool(supply: Supply, wish: Wish, service: Service, count: number): Promise<void> {
  if (needsAddress(service) || isFixed(service)) return
  const image = await supply.images.of(service)
  await supply.pool.fill(poolKey(wish), count, starterOf(supply, wish, service, image, { setting: undefined, place: undefined }).ahead)
}

/** A need of a service, as its instances get it. */
export interface HeldNeed {
  readonly key: string
  readonly name: string
  /** As its `env` is told of it. */
  readonly facts: object
  /** The instance for a wish of the one that needs it, and how that is made. */
  readonly wish: (of: Wish) => Wish
  readonly make: Make
}

/** What an instance is made of. */
export interface Order {
  readonly wish: Wish
  readonly service: Service
  /** The address of its slot, unless it has one of its own. */
  readonly stable: StableAddress | undefined
  readonly inside: Inside | undefined
  readonly needs: readonly HeldNeed[]
}

/**
 * Brings a service into its prepared state, with instances of what it needs that are there for this alone. `setting`: what its
 * functions are told; undefined where they are told nothing.
 */
export async function prepareService(supply: Supply, wish: Wish, service: Service, needs: readonly HeldNeed[], setting: Setting | undefined): Promise<void> {
  const { engine, images, prepared } = supply
  if (service.options.prepare === undefined || wish.config === undefined) return
  const image = await images.of(service)
  let company: Company | undefined
  const place = async (): Promise<Place | undefined> => {
    company = needs.length === 0 ? undefined : await gather(supply, wish, keyOf(wish), needs)
    return company?.place
  }
  try {
    await prepared.of(service, { config: wish.config, name: wish.name }, image, runOptions(engine, service, setting, image), { setting, place })
  } finally {
    await company?.leave()
  }
}

/** Makes a container of a service. */
export function makeContainer(supply: Supply, { wish, service, stable: given, inside, needs }: Order): Make {
  const { engine, images, journal } = supply
  return async (signal, holder) => {
    const image = await images.of(service)
    const facts = Object.fromEntries(needs.map(need => [need.key, need.facts]))
    // For a service that must know its address before it runs, without one of its slot's.
    const own = given === undefined && needsAddress(service) ? await openAddress(engine, service, image, { needs: facts, inside }) : undefined
    const stable = given ?? own
    let company: Company | undefined
    let container: Container | undefined
    const leave = async (): Promise<void> => {
      await stable?.drop(container)
      await own?.close()
      await container?.stop({ timeout: 0 })
      await company?.leave()
    }
    const began = performance.now()
    const admitted = await supply.admission.enter({ slot: wish.slot, owner: wish.fileAttempt, name: wish.as, passing: isOwn(wish.scope) }, signal)
    try {
      company = needs.length === 0 ? undefined : await gather(supply, wish, holder, needs)
      const setting: Setting | undefined = stable === undefined ? undefined : { self: stable.self, needs: facts }
      const supplied = await supplyOf(supply, wish, service, image, { setting, place: company?.place }, signal)
      container = supplied.container
      admitted.settle()
      if (!signal.aborted) await stable?.aim(container)
      const address = stable?.address ?? addressOf(service, container)
      supplied.refill?.()
      journal.note({ event: 'ready', from: supplied.source, name: wish.as, slot: wish.slot, image: image.reference, container: container.id, ms: Math.round(performance.now() - began), host: address.host, ports: address.ports })
      const running = container
      const env = environmentOf(service, setting ?? { self: running })
      const state = stateOf(service)
      const seen = { host: running.ip, port: (n: number): number => n }
      return {
        container: running, address,
        inside: { host: running.ip, facts: insideFactsOf(service, seen, setting ?? { self: running }) },
        exit: running.exit,
        reset: state === undefined || !keepsState(service) ? undefined : () => state.restore({ container: running, env }),
        detach: async () => await stable?.drop(running),
        end: async () => {
          admitted.leave()
          await leave()
        },
      } satisfies Made
    } catch (error) {
      admitted.leave()
      await leave().catch(() => undefined)
      throw error
    }
  }
}

async function supplyOf(
  supply: Supply, wish: Wish, service: Service, image: FoundImage, circumstances: Surroundings, signal: AbortSignal,
): Promise<{ container: Container; source: Source; refill?: () => void }> {
  const { start, ahead, fresh } = starterOf(supply, wish, service, image, circumstances)
  // One that is made for its address or its company, or lives as long as the run, cannot wait for whoever comes.
  if (!isOwn(wish.scope) || needsAddress(service) || circumstances.place !== undefined || isFixed(service)) return { container: await start(signal), source: fresh }
  const { container, waited, refill } = await supply.pool.take(poolKey(wish), () => start(), ahead)
  return { container, source: waited ? 'pool' : fresh, refill }
}

interface Surroundings {
  readonly setting: Setting | undefined
  readonly place: Place | undefined
}

/** How an instance is started: for the one who waits for it, or ahead of whoever comes. */
interface Starter {
  readonly start: (signal?: AbortSignal) => Promise<Container>
  readonly ahead: () => Promise<Container>
  readonly fresh: Source
}

function starterOf(
  { engine, prepared }: Supply, { config, name }: Wish, service: Service, image: FoundImage, { setting, place }: Surroundings,
): Starter {
  const state = service.options.prepare === undefined || config === undefined ? undefined
    : { image, of: (options: RunOptions) => prepared.of(service, { config, name }, image, options, { setting, place: () => Promise.resolve(place) }) }
  const start = async (signal?: AbortSignal): Promise<Container> => {
    const container = await startService(engine, service, { setting, place, signal, prepared: state })
    // A prepared one has kept it already.
    if (state === undefined && keepsState(service)) await keepState(service, container, setting)
    return container
  }
  return {
    fresh: state === undefined ? 'image' : 'snapshot',
    start,
    ahead: async () => {
      const container = await start()
      await presetOf(service)?.greet?.({ container, env: environmentOf(service, setting ?? { self: container }) }).catch(() => undefined)
      return container
    },
  }
}

/** What instances started ahead are told apart by. */
export function poolKey({ config, name }: Pick<Wish, 'config' | 'name'>): string {
  return JSON.stringify([config ?? null, name])
}

/** Whether there is something to go back to: not where the configuration says that nothing ever does. */
function keepsState(service: Service): boolean {
  const { reset, isolation, prepare } = service.options
  return stateOf(service) !== undefined && (prepare !== undefined || reset !== 'never' || isolation === 'database')
}

/** What `reset()` goes back to. */
async function keepState(service: Service, container: Container, setting: Setting | undefined): Promise<void> {
  const state = stateOf(service)
  if (state?.beginsEmpty === true) return
  try {
    await state?.keep?.({ container, env: environmentOf(service, setting ?? { self: container }) })
  } catch (error) {
    await container.stop({ timeout: 0 }).catch(() => undefined)
    throw error
  }
}

/** The services that one needs, on a network with it. */
interface Company {
  readonly place: Place
  leave(): Promise<void>
}

async function gather({ engine, leases }: Supply, wish: Wish, holder: string, needs: readonly HeldNeed[]): Promise<Company> {
  const releases: (() => Promise<void>)[] = []
  let network: Network | undefined
  const leave = async (): Promise<void> => {
    await network?.[Symbol.asyncDispose]()
    await Promise.all(releases.map(release => release()))
  }
  try {
    const held = await Promise.all(needs.map(async need => {
      const { made, release } = await leases().hold(need.wish(wish), holder, need.make)
      releases.push(release)
      return { need, made }
    }))
    network = await engine.network({ size: Math.max(29, needs.length + 1) })
    for (const { need, made } of held) {
      if (made.container !== undefined) await network.connect(made.container, { aliases: [...new Set([need.key, aliasOf(need.name)])] })
    }
    return { place: { network, aliases: [aliasOf(wish.name)] }, leave }
  } catch (error) {
    await leave().catch(() => undefined)
    throw error
  }
}

/** A configuration's names are letters, digits, _ and -; one that is needed only has a dot as well. */
function aliasOf(name: string): string {
  return name.replace(/[^\w-]/g, '-')
}

/** Whether there can be only one of it at a time. */
function isFixed({ options: { ports = [], name } }: Service): boolean {
  return name !== undefined || ports.some(port => typeof port === 'object' && (port.host ?? 0) !== 0)
}

/** Where a service that is needed is told of: at its address, and inside. */
export function neededFacts(service: Service, stable: Pick<StableAddress, 'self'>, key: string, setting: Omit<Setting, 'self'> = {}): object {
  const whole: Setting = { ...setting, self: stable.self }
  const inside: Inside = { host: key, port: n => n }
  return {
    host: stable.self.host, port: (n: number): number => stable.self.port(n), ...factsOf(service, whole),
    inside: { ...inside, ...insideFactsOf(service, inside, whole) },
  }
}

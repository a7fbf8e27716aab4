import { randomBytes, timingSafeEqual } from 'node:crypto'
import { createServer, type Socket } from 'node:net'
import { dirname, join } from 'node:path'
import type { Listening } from '../container/types.js'
import { MayflyError } from '../errors.js'
import { openAddress, type Address, type StableAddress } from './addresses.js'
import type { TestAttempt } from './client.js'
import { findConfig, loadConfig } from './config.js'
import { createImages } from './images.js'
import { createLeases, type Grant } from './leases.js'
import { createWarmPool } from './pool.js'
import { createPrepared } from './prepared.js'
import { resolveService, scopeOf } from './resolve.js'
import { needsAddress, runOptions, type Engine } from './start.js'
import type { Config, Scope, Service } from './types.js'
import { createVisit, type Until } from './visit.js'
import { speak } from './wire.js'

/** What a worker needs to find its run. Crosses to it in the environment. */
export interface RunAddress {
  readonly socket: string
  readonly token: string
  /** Per configuration file, slot and service: the addresses known from the start. */
  readonly addresses: Readonly<Record<string, Readonly<Record<string, Readonly<Record<string, Address>>>>>>
}

export interface HostOptions {
  /** Where the configuration is looked for, upwards. */
  readonly directories: readonly string[]
  /** Worker slots 1..slots get their addresses now; a further slot gets its own when it first asks. */
  readonly slots: number
}

interface Place {
  /** A directory of the user's own, mode 0700, with a short path: a socket's has 107 bytes. */
  readonly socketDirectory: string
}

export interface Host {
  readonly address: RunAddress
  close(): Promise<void>
}

/** Opens a run host: loads configurations, fixes addresses, and listens on a socket. */
export async function openHost(engine: Engine, { directories, slots, socketDirectory }: HostOptions & Place): Promise<Host> {
  const configs = new Map<string, Promise<Config>>()
  const stables = new Map<string, Promise<StableAddress>>()
  const images = createImages(engine)
  const prepared = createPrepared(engine)
  const leases = createLeases({ engine, images, prepared, pool: createWarmPool(slots) })
  const token = randomBytes(16).toString('hex')

  const configOf = (path: string): Promise<Config> => remember(configs, path, () => loadConfig(path))
  const stable = async (path: string, name: string, slot: number): Promise<StableAddress | undefined> => {
    const service = (await configOf(path)).services[name]
    const owner = service?.options.scope === 'run' ? 0 : slot
    return service && (await remember(stables, JSON.stringify([path, name, owner]), async () => {
      const { ports } = await images.of(service)
      return await openAddress(engine, service, ports)
    }))
  }
  const fixed = async (path: string): Promise<Record<string, Record<string, Address>>> => {
    const { services } = await configOf(path)
    await images.ofAll(services, path)
    const all: Record<string, Record<string, Address>> = {}
    for (let slot = 1; slot <= slots; slot++) {
      const own: Record<string, Address> = {}
      for (const name of Object.keys(services)) {
        const opened = await stable(path, name, slot)
        if (opened !== undefined) own[name] = opened.address
      }
      all[String(slot)] = own
    }
    return all
  }
  const used = async (wanted: Params): Promise<{ service: Service; config: string | undefined; scope: Scope }> => {
    const name = text(wanted, 'name')
    const path = findConfig(dirname(text(wanted, 'file')))
    const services = path === undefined ? {} : (await configOf(path)).services
    const service = resolveService(name, services, path)
    const own = path !== undefined && Object.hasOwn(services, name)
    return { service, config: own ? path : undefined, scope: scopeOf(service, wanted['scope'] as Scope | undefined, name) }
  }
  const prepare = async (wanted: Params): Promise<Scope> => {
    const { service, config, scope } = await used(wanted)
    const image = await images.of(service)
    if (config !== undefined && service.options.prepare !== undefined && !needsAddress(service)) {
      await prepared.of(service, { config, name: text(wanted, 'name') }, image, runOptions(engine, service, undefined, true))
    }
    return scope
  }
  /** For a service that must know its address before it runs, without one of its slot's. */
  const ownAddress = async (service: Service): Promise<StableAddress> => {
    const opened = await openAddress(engine, service, (await images.of(service)).ports)
    let left = false
    const drop: StableAddress['drop'] = async instance => {
      await opened.drop(instance)
      if (left) return
      left = true
      await opened.close()
    }
    return { ...opened, drop }
  }
  const lease = async (wanted: Params): Promise<Grant> => {
    const [name, file, slot] = [text(wanted, 'name'), text(wanted, 'file'), Number(wanted['slot'] ?? 1)]
    const { service, config, scope } = await used(wanted)
    const as = typeof wanted['as'] === 'string' ? wanted['as'] : name
    const test = scope === 'test' ? (wanted['test'] as TestAttempt | undefined) : undefined
    const concurrent = test?.concurrent === true
    if (concurrent) refuseExports(name, service)
    const attempt = test?.id ?? text(wanted, 'attempt')
    const wish = { slot, config, name, as, file, attempt, scope, concurrent }
    // A second use of one service in a file under another name, or by another test at the same time, has an address of its own.
    if (config !== undefined && as === name && !concurrent) return await leases.take(wish, service, () => stable(config, name, slot))
    return await leases.take(wish, service, () => needsAddress(service) ? ownAddress(service) : undefined)
  }

  const serve = (socket: Socket): void => {
    const held = new Map<string, Grant>()
    const visit = createVisit(engine)
    let trusted = false
    const peer = speak(socket, async (op, params, signal) => {
      if (op === 'hello') {
        trusted = equal(String(params['token']), token)
        if (!trusted) setImmediate(() => socket.destroy())
        return trusted
      }
      if (!trusted) throw new MayflyError('ERR_MAYFLY_UNPRIVILEGED', 'This connection has not presented the token of its run')
      if (op === 'prepare') return await prepare(params)
      if (op === 'lease') {
        const grant = await lease(params)
        held.set(grant.lease, grant)
        if (socket.destroyed) await leases.giveBack(grant.lease)
        return grant
      }
      if (op === 'mend') return await visit.mend()
      if (op === 'reach') return await visit.reach(placeOf(params), params['until'] as Until)
      if (op === 'unreach') return await visit.unreach(Number(params['port']))
      const id = text(params, 'lease')
      if (op === 'release') {
        held.delete(id)
        return await leases.giveBack(id)
      }
      const [container, grant] = [await leases.container(id), held.get(id)]
      if (container === undefined || grant === undefined) throw new MayflyError('ERR_MAYFLY_NOT_STARTED', 'This instance has been given back')
      return await visit.call(container, grant, text(params, 'method'), (params['args'] ?? []) as readonly unknown[], signal)
    })
    socket.ref()
    void peer.closed.then(() => Promise.allSettled([visit.end(), ...[...held.keys()].map(id => leases.giveBack(id))]))
  }

  const addresses: Record<string, Record<string, Record<string, Address>>> = {}
  for (const path of new Set(directories.map(directory => findConfig(directory)))) {
    if (path !== undefined) addresses[path] = await fixed(path)
  }
  const socket = join(socketDirectory, `${randomBytes(6).toString('hex')}.host`)
  const server = createServer(serve)
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(socket, resolve)
  })
  return {
    address: { socket, token, addresses },
    close: async () => {
      server.close()
      await Promise.all([...stables.values()].map(async opened => (await opened).close()))
    },
  }
}

/** Variables of the environment are one for all tests of a file: they cannot point at the instance of each. */
function refuseExports(name: string, { options }: Service): void {
  const variables = Object.keys(options.exports ?? {})
  if (variables.length === 0) return
  throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `"${name}" exports ${variables.join(', ')}, which cannot name an instance per concurrent test`, {
    hint: 'Run these tests one after the other, or use a service without exports there.',
    details: { service: name, variables },
  })
}

type Params = Readonly<Record<string, unknown>>

function remember<T>(known: Map<string, Promise<T>>, key: string, make: () => Promise<T>): Promise<T> {
  const there = known.get(key)
  if (there !== undefined) return there
  const made = make()
  known.set(key, made)
  return made
}

function text(params: Params, name: string): string {
  const value = params[name]
  if (typeof value === 'string') return value
  throw new MayflyError('ERR_MAYFLY_INTERNAL', `A request to the run host lacks "${name}"`)
}

function placeOf(params: Params): Listening {
  return { address: () => ({ port: Number(params['port']), address: text(params, 'address') }) }
}

function equal(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)]
  return left.length === right.length && timingSafeEqual(left, right)
}

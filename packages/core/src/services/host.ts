import { randomBytes, timingSafeEqual } from 'node:crypto'
import { existsSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { MayflyError, messageOf } from '../errors.js'
import { createAdmission } from './admission.js'
import type { Health, RunOptions } from '../container/types.js'
import type { Address } from './address.js'
import { prepareAhead, standsAlone } from './ahead.js'
import type { TestAttempt } from './client.js'
import { findConfig } from './find-config.js'
import { createImages } from './images.js'
import { idleLimit, watchIdle } from './idle.js'
import { cloneMaker, createInstances } from './instances.js'
import { createJournal, type Journal, type RunSummary } from './journal.js'
import { chooseKept, type Kept } from './keep.js'
import { createLeases, lastLines, type Grant, type Held, type Leases } from './leases.js'
import { createPlaces, type Project } from './places.js'
import { createWarmPool } from './pool.js'
import { createPrepared } from './prepared.js'
import { inItsName, refuseExports, unresettable } from './refusals.js'
import { reloadProjects } from './reload.js'
import { resetOf, resolveService, scopeOf } from './resolve.js'
import type { Engine } from './start.js'
import type { Scope, Service } from './types.js'
import { createVisit, type Until, type Visit } from './visit.js'
import { speak, type Peer } from './wire.js'

/** What a worker needs to find its run. Crosses to it in the environment. */
export interface RunAddress {
  readonly socket: string
  readonly token: string
  /** Per configuration file, slot and service: the addresses known from the start. */
  readonly addresses: Readonly<Record<string, Readonly<Record<string, Readonly<Record<string, Address>>>>>>
  /** Why this machine runs no containers: whoever wants one is skipped. */
  readonly unavailable?: string
}

export interface HostOptions {
  /** Where the configuration is looked for, upwards. */
  readonly directories: readonly string[]
  /** Worker slots 1..slots get their addresses now; a further slot gets its own when it first asks. */
  readonly slots: number
  /** Tests are run again and again: configurations may change, and what nobody uses for long (MAYFLY_IDLE) is ended. */
  readonly watching?: boolean
  /** What is declared is prepared from the beginning on, before anybody asks. */
  readonly ahead?: boolean
  /** Paths of test files that were selected: only what they name is prepared ahead, and what a further file does when it comes. All that is declared, if undefined. */
  readonly files?: readonly string[] | undefined
}

interface Place {
  /** A directory of the user's own, mode 0700, with a short path: a socket's has 107 bytes. */
  readonly socketDirectory: string
}

export interface Host {
  readonly address: RunAddress
  /** Reads the configurations again, see `reloadProjects`. */
  reload(): Promise<RunAddress>
  /** Ends everything but what MAYFLY_KEEP has stay. */
  close(): Promise<{ readonly summary: RunSummary; readonly kept: Kept | undefined }>
}

interface Used {
  readonly service: Service
  /** Where it stands in a configuration. */
  readonly project: Project | undefined
  readonly scope: Scope
}

/** Opens a run host: loads configurations, fixes addresses, and listens on a socket. */
export async function openHost(engine: Engine, { directories, slots, watching = false, ahead = false, files, socketDirectory }: HostOptions & Place): Promise<Host> {
  const journal: Journal = createJournal()
  const run = randomBytes(4).toString('hex')
  const images = createImages(engine, journal)
  const prepared = createPrepared(engine, journal)
  const pool = createWarmPool(slots)
  const sessions = new Map<string, { readonly peer: Peer; readonly visit: Visit }>()
  const failed = new Set<string>()
  const leases: Leases = createLeases({
    died: (ids, { as, slot }, { exit, lines }, container) => {
      const holders = ids.flatMap(id => sessions.get(id) ?? [])
      const stopped = container !== undefined && holders.some(({ visit }) => visit.stopped(container))
      journal.note({ event: 'ended', name: as, slot, exit, stopped })
      for (const { peer } of holders) peer.request('ended', { name: as, exit, lines }).catch(() => undefined)
    },
    reset: ({ as, slot }, ms) => journal.note({ event: 'reset', name: as, slot, ms: Math.round(ms) }),
    resetFailed: ({ as }, error) => void process.stderr.write(`mayfly: "${as}" could not be brought back to its prepared state and is replaced: ${messageOf(error)}\n`),
  })
  const admission = createAdmission({
    waits: ({ name, slot }) => {
      journal.note({ event: 'waiting', name, slot, why: 'memory is short' })
      pool.shed()
    },
  })
  const places = createPlaces({ engine, images, journal, run, slots, watching })
  const instances = createInstances({ engine, images, prepared, pool, admission, journal, leases: () => leases }, places)
  const token = randomBytes(16).toString('hex')
  const over = new AbortController()
  const idle = watching ? watchIdle(idleLimit(), () => {
    journal.note({ event: 'idle', ms: idleLimit() })
    void leases.end(() => false).then(() => pool.shed()).catch(() => undefined)
  }) : undefined

  const used = async (wanted: Params): Promise<Used> => {
    const name = text(wanted, 'name')
    const project = await places.projectOf(text(wanted, 'file'))
    const service = resolveService(name, project?.all ?? {}, project?.path)
    const own = project !== undefined && Object.hasOwn(project.all, name)
    return { service, project: own ? project : undefined, scope: scopeOf(service, wanted['scope'] as Scope | undefined, name) }
  }
  const seen = new Set(files)
  /** At a file's first wish: what else it names is prepared beside that, where the file was not known to be selected. */
  const lookInto = (file: string, project: Project | undefined): void => {
    if (!ahead || files === undefined || project === undefined || seen.has(file)) return
    seen.add(file)
    void prepareAhead(instances, project, [file], over.signal).catch(() => undefined)
  }
  const prepare = async (wanted: Params): Promise<Scope> => {
    const { service, project, scope } = await used(wanted)
    lookInto(text(wanted, 'file'), project)
    const name = text(wanted, 'name')
    if (project !== undefined && places.isExternal(project, name)) return scope
    await images.of(service)
    if (project !== undefined && standsAlone(service)) await instances.prepare(project, name)
    return scope
  }
  const lease = async (wanted: Params): Promise<Grant> => {
    const [name, file, slot, fileAttempt] = [text(wanted, 'name'), text(wanted, 'file'), Number(wanted['slot'] ?? 1), text(wanted, 'attempt')]
    const { service, project, scope } = await used(wanted)
    lookInto(file, project)
    const test = scope === 'test' ? (wanted['test'] as TestAttempt | undefined) : undefined
    const concurrent = test?.concurrent === true
    if (concurrent) refuseExports(name, service)
    const as = typeof wanted['as'] === 'string' ? wanted['as'] : name
    const wish = { slot, config: project?.path, name, as, file, attempt: test?.id ?? fileAttempt, fileAttempt, scope, concurrent }
    return await leases.take(wish, resetOf(service, scope), instances.maker(wish, service, project))
  }

  const serve = (socket: Socket): void => {
    const held = new Set<string>()
    const followed = new Map<string, () => void>()
    const visit = createVisit(engine)
    let attempt: string | undefined
    let trusted = false
    const giveBack = async (id: string): Promise<void> => {
      held.delete(id)
      sessions.delete(id)
      followed.get(id)?.()
      followed.delete(id)
      // Who looks into a failure shall find it as it was.
      if (!failed.has(id)) await leases.giveBack(id)
    }
    const handOver = async (grant: Grant): Promise<Grant> => {
      held.add(grant.lease)
      sessions.set(grant.lease, { peer, visit })
      if (socket.destroyed) await giveBack(grant.lease)
      const container = (await leases.held(grant.lease))?.made.container
      if (container?.health === undefined) return grant
      const tell = (health: Health): void => void peer.request('health', { lease: grant.lease, health }).catch(() => undefined)
      followed.get(grant.lease)?.()
      followed.set(grant.lease, engine.followHealth(container, tell))
      return { ...grant, health: container.health }
    }
    const heldBy = async (params: Params): Promise<Held> => {
      const one = await leases.held(text(params, 'lease'))
      if (one !== undefined) return one
      throw new MayflyError('ERR_MAYFLY_NOT_STARTED', 'This instance has been given back')
    }
    const isOwn = async (id: string): Promise<boolean> => {
      const all = await Promise.all([...held].map(lease => leases.held(lease)))
      return all.some(one => one?.made.container?.id === id && one.wish.scope !== 'run' && one.made.sharesContainer !== true)
    }
    const resetOne = async ({ wish: { as, slot }, made: { reset } }: Held): Promise<void> => {
      if (reset === undefined) throw unresettable(as)
      const began = performance.now()
      await reset()
      journal.note({ event: 'reset', name: as, slot, ms: Math.round(performance.now() - began) })
    }
    const operations: Readonly<Record<string, (params: Params, signal: AbortSignal) => unknown>> = {
      prepare,
      lease: async params => {
        attempt = text(params, 'attempt')
        return await handOver(await lease(params))
      },
      begin: async params => {
        attempt = text(params, 'attempt')
        const { scope } = await used(params)
        if (scope !== 'test') return await handOver(await lease(params))
        await prepare(params)
        return null
      },
      another: async params => {
        const { wish } = await heldBy(params)
        const from = visit.snapshot(text(params, 'snapshot'))
        const { service } = await used({ name: wish.name, file: wish.file })
        const as = `${wish.as}-${randomBytes(4).toString('hex')}`
        const clone = { ...wish, as, attempt: text(params, 'attempt'), scope: 'file' as const, concurrent: false }
        return await handOver(await leases.take(clone, 'never', cloneMaker(service, () => from.run(params['options'] as RunOptions))))
      },
      release: params => giveBack(text(params, 'lease')),
      call: async (params, signal) => {
        const [method, args, one] = [text(params, 'method'), (params['args'] ?? []) as readonly unknown[], await heldBy(params)]
        const { wish, made: { container, sharesContainer } } = one
        if (method === 'reset') return await resetOne(one)
        if (container === undefined) throw new MayflyError('ERR_MAYFLY_UNSUPPORTED', `"${wish.as}" is an external server, which has no "${method}"`)
        // A database's server is everybody's.
        const hold = { scope: sharesContainer === true ? 'run' as const : wish.scope, name: container.name, isOwn }
        return await visit.call(container, hold, method, args, signal).catch((error: unknown) => { throw inItsName(wish.as, error) })
      },
      reset: async params => await resetOne(await heldBy(params)),
      holding: async params => {
        const project = await places.projectOf(text(params, 'file'))
        const found = project === undefined ? [] : await Promise.all((params['names'] as readonly string[]).map(async name => ({ name, place: await places.of(project, name, Number(params['slot'])) })))
        return found.filter(({ place }) => place.stable?.holds === true).map(({ name }) => name)
      },
      describe: async params => {
        const { made: { container }, death } = await heldBy(params)
        const ended = death === undefined ? null : container !== undefined && visit.stopped(container) ? 'stopped' : death.exit
        return { lines: death?.lines ?? await lastLines(container), ended }
      },
      failed: params => {
        if (process.env['MAYFLY_KEEP'] !== undefined) for (const id of (params['leases'] ?? []) as readonly string[]) failed.add(id)
      },
      mend: () => visit.mend(),
      reach: params => visit.reach({ address: () => ({ port: Number(params['port']), address: text(params, 'address') }) }, params['until'] as Until),
      unreach: params => visit.unreach(Number(params['port'])),
    }
    const peer = speak(socket, async (op, params, signal) => {
      if (op === 'hello') {
        trusted = equal(String(params['token']), token)
        if (!trusted) setImmediate(() => socket.destroy())
        else if (params['standing'] !== true) {
          idle?.enter()
          void peer.closed.then(() => idle?.leave())
        }
        return trusted
      }
      if (!trusted) throw new MayflyError('ERR_MAYFLY_UNPRIVILEGED', 'This connection has not presented the token of its run')
      const operation = operations[op]
      if (operation === undefined) throw new MayflyError('ERR_MAYFLY_INTERNAL', `The run host knows no "${op}"`)
      return await operation(params, signal)
    })
    socket.ref()
    const leave = async (): Promise<void> => {
      await Promise.allSettled([visit.end(), ...[...held].map(giveBack)])
      if (attempt !== undefined) leases.fileEnded(attempt)
    }
    void peer.closed.then(leave).catch(() => undefined)
  }

  const configured = (): readonly string[] => [...new Set(directories.map(directory => findConfig(directory)))].filter(path => path !== undefined)
  const begin = async (projects: readonly Project[]): Promise<RunAddress['addresses']> => {
    const addresses: Record<string, RunAddress['addresses'][string]> = {}
    for (const project of projects) {
      addresses[project.path] = await places.table(project)
      instances.startEager(project, slots, leases)
      if (ahead) void prepareAhead(instances, project, files, over.signal).catch(() => undefined)
    }
    return addresses
  }
  const first: Project[] = []
  for (const path of configured()) {
    const project = await places.load(path)
    await images.ofAll(places.contained(project), path)
    first.push(project)
  }
  let addresses = await begin(first)
  const socket = join(socketDirectory, `${randomBytes(6).toString('hex')}.host`)
  const server = createServer(serve)
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(socket, resolve)
  })
  return {
    get address() { return { socket, token, addresses } },
    reload: async () => {
      const paths = configured()
      const others = places.known().filter(path => !paths.includes(path) && existsSync(path))
      const projects = await reloadProjects({ places, images, leases, pool, journal }, [...paths, ...others])
      addresses = await begin(projects.filter(({ path }) => paths.includes(path)))
      return { socket, token, addresses }
    },
    close: async () => {
      over.abort()
      idle?.end()
      server.close()
      const kept = await chooseKept(leases, failed)
      await leases.end(({ made }) => kept?.stays(made.container) === true)
      await pool.shed()
      await places.close(kept !== undefined)
      return { summary: journal.summary(kept?.containers), kept }
    },
  }
}

type Params = Readonly<Record<string, unknown>>

function text(params: Params, name: string): string {
  const value = params[name]
  if (typeof value === 'string') return value
  throw new MayflyError('ERR_MAYFLY_INTERNAL', `A request to the run host lacks "${name}"`)
}

function equal(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)]
  return left.length === right.length && timingSafeEqual(left, right)
}

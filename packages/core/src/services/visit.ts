import type { Container, Fault, Faults, Listening, Reached, Snapshot, SnapshotOptions } from '../container/types.js'
import { MayflyError } from '../errors.js'
import { callContainer } from './calls.js'
import { createRemoteProcesses } from './processes.js'
import type { Grant } from './leases.js'
import type { WireSnapshot } from './remote-snapshots.js'
import type { Engine } from './start.js'

/** How long something of a test's is there. */
export type Until = 'test' | 'file'

/** What a test holds of a container. */
export interface Hold extends Pick<Grant, 'scope' | 'name'> {
  /** Whether a container is this test file's or its worker's, and nobody else's. */
  isOwn(id: string): Promise<boolean>
}

/** What one test file does to its containers over its connection, and what of that must be undone. */
export interface Visit {
  call(container: Container, hold: Hold, method: string, args: readonly unknown[], signal: AbortSignal): Promise<unknown>
  /** Whether a test of the file stopped it. */
  stopped(container: Container): boolean
  /** One that the file made. Throws ERR_MAYFLY_OPTION_INVALID. */
  snapshot(key: string): Snapshot
  /** Lets containers reach a server of the test's. */
  reach(server: Listening, until: Until): Promise<Pick<Reached, 'host' | 'port'>>
  unreach(port: number): Promise<void>
  /** Undoes what a test did: faults end, what is paused goes on, its servers are reached no more. */
  mend(): Promise<void>
  /** The same for all that the file did. */
  end(): Promise<void>
}

export const FAULT_KINDS = ['latency', 'bandwidth', 'timeout', 'cut', 'slowClose', 'reset', 'pause', 'memory', 'disk'] as const
/** What would end a service for all who share it, or stop it. */
const FATAL: readonly string[] = ['kill', 'pause', 'stop', 'memory', 'snapshot']

export function createVisit({ reach }: Pick<Engine, 'reach'>): Visit {
  const faults = new Map<number, Fault>()
  const paused = new Set<Container>()
  const stopped = new Set<Container>()
  const reached = new Map<number, { readonly until: Until; readonly way: Reached }>()
  const ways = new Map<number, Reached>()
  const snapshots = new Map<string, Snapshot>()
  const processes = createRemoteProcesses()
  let last = 0

  const snapshotOf = (key: string): Snapshot => {
    const found = snapshots.get(key)
    if (found !== undefined) return found
    throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `There is no snapshot ${key}`)
  }
  const keep = async (container: Container, options: SnapshotOptions | undefined): Promise<WireSnapshot> => {
    if (options?.live !== true) stopped.add(container)
    const { key, label, image, createdAt, size, ...snapshot } = await container.snapshot(options)
    snapshots.set(key, { key, label, image, createdAt, size, ...snapshot })
    return { key, label, image, createdAt: createdAt.getTime(), size }
  }
  const open = async (container: Container, place: { readonly port: number; readonly address: string }): Promise<object> => {
    const way = await container.reach({ address: () => place })
    ways.set(++last, way)
    return { id: last, host: way.host, port: way.port }
  }
  const shut = async (id: number): Promise<void> => {
    const way = ways.get(id)
    ways.delete(id)
    await way?.close()
  }

  const inject = async (container: Container, kind: string, options: unknown): Promise<unknown> => {
    const set: unknown = (FAULT_KINDS as readonly string[]).includes(kind) ? container.faults[kind as keyof Faults] : undefined
    if (typeof set !== 'function') throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `There is no fault "${kind}"`, { hint: `There are: ${FAULT_KINDS.join(', ')}.` })
    const fault = (await Reflect.apply(set, container.faults, options === undefined ? [] : [options])) as Fault | number
    if (typeof fault === 'number') return fault
    faults.set(++last, fault)
    return { id: last, description: fault.description }
  }
  const heal = async (id: number): Promise<void> => {
    const fault = faults.get(id)
    faults.delete(id)
    await fault?.clear()
  }
  const undo = async (whose: (until: Until) => boolean): Promise<void> => {
    const gone = [...reached].filter(([, { until }]) => whose(until))
    for (const [port] of gone) reached.delete(port)
    const held = [...paused]
    paused.clear()
    // Each by itself: one whose container is gone must not keep the others.
    const outcomes = await Promise.allSettled([
      ...[...faults.keys()].map(heal), ...held.map(container => container.unpause()), ...gone.map(([, { way }]) => way.close()),
    ])
    const failed = outcomes.find(outcome => outcome.status === 'rejected' && !isOver(outcome.reason))
    if (failed?.status === 'rejected') throw failed.reason as Error
  }
  return {
    call: async (container, hold, method, given, signal) => {
      // JSON has no undefined among an array's values.
      const args = given.map(value => value ?? undefined)
      if (method === 'fault') {
        refuseShared(hold, String(args[0]))
        await refuseEverybodys(hold, String(args[0]), args[1])
        return await inject(container, String(args[0]), args[1])
      }
      if (method === 'heal') return await heal(Number(args[0]))
      if (method === 'control') return await processes.control(String(args[0]), String(args[1]), args[2])
      if (method === 'spawn' || method === 'attach') return await processes.open(container, method, args, signal)
      if (method === 'reach') return await open(container, args[0] as { readonly port: number; readonly address: string })
      if (method === 'unreach') return await shut(Number(args[0]))
      if (method === 'removeSnapshot') return await snapshotOf(String(args[0])).remove()
      refuseShared(hold, method)
      if (method === 'snapshot') return await keep(container, args[0] as SnapshotOptions | undefined)
      if (method === 'stop') stopped.add(container)
      const result = await callContainer(container, method, args, signal)
      if (method === 'pause') paused.add(container)
      if (method === 'unpause') paused.delete(container)
      return result
    },
    stopped: container => stopped.has(container),
    reach: async (server, until) => {
      const way = await reach(server)
      await reached.get(way.port)?.way.close()
      reached.set(way.port, { until, way })
      return { host: way.host, port: way.port }
    },
    unreach: async port => {
      const one = reached.get(port)
      reached.delete(port)
      await one?.way.close()
    },
    snapshot: snapshotOf,
    mend: () => undo(until => until === 'test'),
    end: async () => {
      await Promise.allSettled([...ways.keys()].map(shut))
      await undo(() => true)
    },
  }
}

/** One for the whole run is used by other files at this very moment. */
function refuseShared({ scope, name }: Pick<Grant, 'scope' | 'name'>, method: string): void {
  if (scope !== 'run' || !FATAL.includes(method)) return
  throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `${name} has scope run: "${method}" would hit every test that runs at the moment`, {
    hint: 'Take an instance of your own: container(name, { scope: \'file\' }).',
  })
}

/** A fault belongs to whoever set it: between a shared service and everybody there is none, nor between two shared ones; with one's own container there is. */
async function refuseEverybodys({ scope, name, isOwn }: Hold, kind: string, options: unknown): Promise<void> {
  if (scope !== 'run') return
  const { peer } = (options ?? {}) as { readonly peer?: { readonly id?: unknown } | undefined }
  if (peer !== undefined && await isOwn(String(peer.id))) return
  const shared = peer === undefined ? `${name} has scope run` : `${name} has scope run, and what the fault is to be between is not this file's own`
  throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `${shared}: the fault "${kind}" would meet every test that runs at the moment`, {
    hint: 'Take an instance of your own, container(name, { scope: \'file\' }), or name a container of yours that the fault is between: { peer }.',
  })
}

/** It ended, and its faults with it. */
function isOver(error: unknown): boolean {
  return ['ERR_MAYFLY_CONTAINER_NOT_FOUND', 'ERR_MAYFLY_NOT_RUNNING', 'ERR_MAYFLY_RUN_LOST'].includes(String((error as { code?: unknown }).code))
    || (error as { details?: { errno?: unknown } }).details?.errno === 'ENOENT'
}

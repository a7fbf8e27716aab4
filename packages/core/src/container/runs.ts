import { readdir, readFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'

import { MayflyError } from '../errors.js'
import { defaultHome } from '../images/store.js'
import { Connection, decodeHello, decodeList, encodeHello, METHOD, type Hello, type ListedContainer } from '../native/index.js'
import { Writer } from '../native/bytes.js'
import type { Image } from '../images/index.js'
import type { Inside } from './inside.js'
import type { Features } from '../sandbox/limits.js'
import type { Health } from './health-types.js'
import { freeze, isFrozen } from './freezer.js'
import { decodeLabel, type ListedPort } from './label.js'
import { listKept, type KeptContainer } from './kept.js'
import { linesOf } from './logs.js'
import { readRecords } from './output.js'
import { signalName, signalNumber } from './signals.js'
import type { RunFile } from './supervision.js'
import type { LogLine, LogOptions, Mount, StopOptions } from './types.js'

/** A container of any live run of this user. */
export interface RunningListing {
  readonly id: string
  readonly name: string
  readonly image: string
  /** The image's id: the digest of its configuration. */
  readonly imageId: string
  readonly command: readonly string[]
  readonly ports: readonly ListedPort[]
  readonly labels: Readonly<Record<string, string>>
  readonly state: 'created' | 'running' | 'paused' | 'restarting' | 'exited'
  readonly createdAt: Date | undefined
  readonly startedAt: Date | undefined
  readonly exitedAt: Date | undefined
  readonly exitCode: number
  readonly signal: string | undefined
  readonly oomKilled: boolean
  /** Number of the signal that asks it to stop. */
  readonly stopSignal: number
  /** The process that owns the run. */
  readonly ownerPid: number
  readonly runId: string
  /** Whether its standard streams are a terminal. */
  readonly tty: boolean
  /** What commands in it inherit; unknown of another version's. */
  readonly inside: Inside | undefined
  readonly stack: Image['stack']
  /** Names of the volumes it has. */
  readonly volumes: readonly string[]
  /** In its main network; empty when it has none. */
  readonly ip: string
  /** What its checks say, of one that the background run keeps and that runs. */
  readonly health: Health | undefined
  /** Names of its networks, or `none`, `host`, `container:NAME`; `bridge` for its run's own. */
  readonly networks: readonly string[]
  /** What the background run keeps of it; absent for one of another run. */
  readonly kept: KeptContainer | undefined
  /** Which of its lives this is. */
  readonly life: number | undefined
}

/** Connects to a run of this user. Throws ERR_MAYFLY_RUN_LOST when it is gone. */
export async function connectRun(file: RunFile): Promise<Connection> {
  return (await openRun(file)).connection
}

/** A connection to a run, and what its supervisor can do. */
export interface OpenRun {
  readonly connection: Connection
  readonly features: Features
  readonly hello: Hello
}

async function openRun(file: RunFile): Promise<OpenRun> {
  const socket = connect(file.socket)
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve)
    socket.once('error', (cause) => reject(new MayflyError('ERR_MAYFLY_RUN_LOST', `The run of process ${file.pid} is gone`, { cause })))
  })
  const connection = new Connection(socket)
  try {
    const hello = decodeHello(await connection.request(METHOD.hello, encodeHello('0.1.0', file.token)))
    return { connection, features: hello.features, hello }
  } catch (error) {
    connection.close()
    throw error
  }
}

/** Directories of runs with what they say of themselves; unreadable ones are left out. */
export async function listRuns(home: string = defaultHome()): Promise<{ id: string; file: RunFile }[]> {
  const ids = await readdir(join(home, 'runs')).catch(() => [])
  const runs = await Promise.all(ids.map(async (id) => {
    try {
      return { id, file: JSON.parse(await readFile(join(home, 'runs', id, 'run.json'), 'utf8')) as RunFile }
    } catch {
      return undefined
    }
  }))
  return runs.filter((run) => run !== undefined)
}

/** Containers of all live runs of this user, and those that the background run keeps, newest first. */
export async function listContainers(home?: string): Promise<RunningListing[]> {
  let live = await listLive(home)
  const kept = await listKept(home)
  const ids = new Set(live.map(({ id }) => id))
  // What was started since the first look, or was ended by its keeper's end.
  if (kept.some((one) => !ids.has(one.id) && one.startedAt !== undefined && one.ended === undefined)) live = await listLive(home)
  const all = new Map(kept.map((one) => [one.id, keptListing(one)]))
  for (const one of live) all.set(one.id, { ...one, ...named(all.get(one.id)) })
  return [...all.values()].sort((a, b) => Number(b.createdAt ?? 0) - Number(a.createdAt ?? 0))
}

function named(kept: RunningListing | undefined): Partial<RunningListing> {
  return kept === undefined ? {} : { name: kept.name, kept: kept.kept, health: kept.kept?.health }
}

async function listLive(home?: string): Promise<RunningListing[]> {
  const found = await Promise.all((await listRuns(home)).map(async ({ id, file }) => {
    const run = await openRun(file).catch(() => undefined)
    if (run === undefined) return []
    const { connection, features } = run
    try {
      const all = decodeList(await connection.request(METHOD.list)).filter(isContainer).map((one) => listing(one, id, file))
      return await Promise.all(all.map(async (one) => (
        one.state === 'running' && await isFrozen(connection, features, one.id) ? { ...one, state: 'paused' as const } : one
      )))
    } catch {
      return []
    } finally {
      connection.close()
    }
  }))
  return found.flat()
}

/** The log of a container, named by id, the start of an id, or name. Throws ERR_MAYFLY_CONTAINER_NOT_FOUND. */
export async function* containerLogs(which: string, options: LogOptions = {}): AsyncGenerator<LogLine> {
  const container = await findContainer(which)
  const { id, kept, life } = container
  const connection = container.runId === '' ? undefined : await reach(container).catch(() => undefined)
  try {
    yield* linesOf(async function* records(wanted) {
      const { keptRecords } = await import('./kept-logs.js')
      if (kept !== undefined) yield* keptRecords(id, wanted, (one) => connection === undefined || one !== life)
      if (connection === undefined) return
      let none = true
      for await (const record of readRecords(connection, id, wanted)) {
        none = false
        yield record
      }
      // It may have ended since it was found: its log is a file then.
      if (none && kept !== undefined) yield* keptRecords(id, wanted, (one) => one === life)
    }, options)
  } finally {
    connection?.close()
  }
}

/** Stops and removes a container as `Container.stop` does; named as for its log. Throws ERR_MAYFLY_CONTAINER_NOT_FOUND. */
export async function stopContainer(which: string, { timeout = 10_000, signal }: StopOptions = {}): Promise<void> {
  const container = await findContainer(which)
  const { connection, features } = await reachRun(container)
  try {
    const name = new Writer().str(container.id).take()
    if (isUp(container) && timeout > 0) {
      const number = signalNumber(signal ?? container.stopSignal)
      await connection.request(METHOD.signal, new Writer().str(container.id).u32(0).u32(number).take())
      if (container.state === 'paused') await freeze(connection, features, container.id, false).catch(() => undefined)
      let timer: NodeJS.Timeout | undefined
      const patience = new Promise<void>((resolve) => void (timer = setTimeout(resolve, timeout)))
      await Promise.race([connection.request(METHOD.wait, name).catch(() => undefined), patience])
      clearTimeout(timer)
    }
    await connection.request(METHOD.remove, name)
  } finally {
    connection.close()
  }
}

/** The container of this whole id, of this name, or whose id begins so. Throws ERR_MAYFLY_CONTAINER_NOT_FOUND. */
export async function findContainer(which: string): Promise<RunningListing> {
  const all = await listContainers()
  const named = all.filter(({ id, name }) => id === which || name === which)
  const [only, ...others] = named.length > 0 ? named : all.filter(({ id }) => which !== '' && id.startsWith(which))
  if (only !== undefined && others.length === 0) return only
  const several = [only, ...others].map((one) => one?.id.slice(0, 12)).join(', ')
  throw new MayflyError('ERR_MAYFLY_CONTAINER_NOT_FOUND',
    only === undefined ? `No such container: ${which}` : `${which} is the name of several containers: ${several}`,
    { hint: only === undefined ? 'mayfly ps -a lists them.' : 'Give more of the id.' })
}

/** The mounts of a container that the background run keeps, for another: read-only where its name is followed by `:ro`. Throws ERR_MAYFLY_UNSUPPORTED. */
export async function keptMounts(text: string): Promise<readonly Mount[]> {
  const [which = '', mode = 'rw'] = text.split(':')
  const { kept, name } = await findContainer(which)
  const mounts = kept?.options.mounts ?? []
  if (kept === undefined || mounts.some((one) => !('source' in one) && one.volume === undefined)) {
    throw new MayflyError('ERR_MAYFLY_UNSUPPORTED', `${name} has mounts that are its own`, { hint: 'Volumes with a name and binds can be shared.' })
  }
  return mode === 'ro' ? mounts.map((one) => ({ ...one, readonly: true })) : mounts
}

/** Connects to the run of a container. Throws ERR_MAYFLY_NOT_RUNNING for one that is only kept. */
export async function reach(container: RunningListing): Promise<Connection> {
  return (await reachRun(container)).connection
}

/** The same, with what its supervisor can do. */
export async function reachRun({ name, runId, state }: RunningListing): Promise<OpenRun> {
  if (runId === '') throw notRunning(name, state)
  const run = (await listRuns()).find(({ id }) => id === runId)
  if (run === undefined) throw new MayflyError('ERR_MAYFLY_CONTAINER_NOT_FOUND', `${name} is gone`)
  return openRun(run.file)
}

/** Whether its processes are there. */
export function isUp({ state }: Pick<RunningListing, 'state'>): boolean {
  return state === 'running' || state === 'paused'
}

export function notRunning(name: string, state: RunningListing['state']): MayflyError {
  return new MayflyError('ERR_MAYFLY_NOT_RUNNING', `Container ${name} is ${state === 'restarting' ? 'restarting: wait until it runs' : 'not running'}`, {
    hint: `Start it first: mayfly start ${name}`,
  })
}

/** One that no process runs any more, or yet. */
function keptListing(kept: KeptContainer): RunningListing {
  const { label, ended, startedAt, createdAt } = kept
  // A keeper that was killed wrote nothing of it; its containers were killed with it.
  const end = ended ?? (startedAt === undefined ? undefined : { code: 137, signal: 'SIGKILL', oomKilled: false, at: undefined })
  return {
    id: kept.id, name: kept.name, image: label.image ?? kept.image, imageId: label.imageId ?? '', command: label.command ?? [],
    ports: [], labels: label.labels ?? {}, createdAt: new Date(createdAt), stopSignal: label.stopSignal ?? signalNumber('SIGTERM'),
    state: kept.restarting !== undefined && isAlive(kept.restarting) ? 'restarting' : end === undefined || startedAt === undefined ? 'created' : 'exited',
    startedAt: startedAt === undefined ? undefined : new Date(startedAt), exitedAt: end?.at === undefined ? undefined : new Date(end.at),
    exitCode: end?.code ?? 0, signal: end?.signal, oomKilled: end?.oomKilled ?? false, ownerPid: 0, runId: '',
    tty: label.tty ?? false, inside: label.inside, stack: label.stack ?? [], volumes: label.volumes ?? [], ip: '', health: undefined,
    networks: kept.networks.length > 0 ? kept.networks : label.networks ?? ['bridge'], kept, life: undefined,
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

function listing(one: ListedContainer, runId: string, file: RunFile): RunningListing {
  const label = decodeLabel(one.label)
  return {
    id: one.id,
    name: label.name ?? one.id.slice(0, 12),
    image: label.image ?? '',
    imageId: label.imageId ?? '',
    command: label.command ?? [],
    ports: label.ports ?? [],
    labels: label.labels ?? {},
    createdAt: label.createdAt === undefined ? dateOf(one.startedAt) : new Date(label.createdAt),
    stopSignal: label.stopSignal ?? signalNumber('SIGTERM'),
    state: one.state === 'waiting' || one.state === 'made' ? 'created' : one.state,
    startedAt: dateOf(one.startedAt),
    exitedAt: dateOf(one.exitedAt),
    exitCode: one.signal === 0 ? one.code : 128 + one.signal,
    signal: signalName(one.signal),
    oomKilled: one.oomKilled,
    ownerPid: file.pid,
    runId,
    tty: label.tty ?? false,
    inside: label.inside,
    stack: label.stack ?? [],
    volumes: label.volumes ?? [],
    ip: label.ip ?? '',
    health: undefined,
    networks: label.networks ?? ['bridge'],
    kept: undefined,
    life: label.life,
  }
}

/** A slot has no label yet. */
function isContainer({ state, label }: ListedContainer): boolean {
  return state === 'running' || state === 'exited' || label.length > 0
}

function dateOf(nanoseconds: bigint): Date | undefined {
  return nanoseconds === 0n ? undefined : new Date(Number(nanoseconds / 1_000_000n))
}

import { readdir, readFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'

import { MayflyError } from '../errors.js'
import { defaultHome } from '../images/store.js'
import { Connection, decodeList, encodeHello, METHOD, type ListedContainer } from '../native/index.js'
import { Writer } from '../native/bytes.js'
import type { Image } from '../images/index.js'
import type { Inside } from './inside.js'
import { decodeLabel, type ListedPort } from './label.js'
import { readLogs } from './logs.js'
import { signalName, signalNumber } from './signals.js'
import type { RunFile } from './supervision.js'
import type { LogLine, LogOptions, StopOptions } from './types.js'

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
  readonly state: 'created' | 'running' | 'exited'
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
}

/** Connects to a run of this user. Throws ERR_MAYFLY_RUN_LOST when it is gone. */
export async function connectRun(file: RunFile): Promise<Connection> {
  const socket = connect(file.socket)
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve)
    socket.once('error', (cause) => reject(new MayflyError('ERR_MAYFLY_RUN_LOST', `The run of process ${file.pid} is gone`, { cause })))
  })
  const connection = new Connection(socket)
  try {
    await connection.request(METHOD.hello, encodeHello('0.1.0', file.token))
    return connection
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

/** Containers of all live runs of this user, newest first. */
export async function listContainers(home?: string): Promise<RunningListing[]> {
  const found = await Promise.all((await listRuns(home)).map(async ({ id, file }) => {
    const connection = await connectRun(file).catch(() => undefined)
    if (connection === undefined) return []
    try {
      return decodeList(await connection.request(METHOD.list)).filter(isContainer).map((one) => listing(one, id, file))
    } catch {
      return []
    } finally {
      connection.close()
    }
  }))
  return found.flat().sort((a, b) => Number(b.createdAt ?? 0) - Number(a.createdAt ?? 0))
}

/** The log of a container, named by id, the start of an id, or name. Throws ERR_MAYFLY_CONTAINER_NOT_FOUND. */
export async function* containerLogs(which: string, options: LogOptions = {}): AsyncGenerator<LogLine> {
  const { connection, container } = await reach(which)
  try {
    yield* readLogs(connection, container.id, options)
  } finally {
    connection.close()
  }
}

/** Stops and removes a container as `Container.stop` does; named as for its log. Throws ERR_MAYFLY_CONTAINER_NOT_FOUND. */
export async function stopContainer(which: string, { timeout = 10_000, signal }: StopOptions = {}): Promise<void> {
  const { connection, container } = await reach(which)
  try {
    const name = new Writer().str(container.id).take()
    if (container.state === 'running' && timeout > 0) {
      const number = signalNumber(signal ?? container.stopSignal)
      await connection.request(METHOD.signal, new Writer().str(container.id).u32(0).u32(number).take())
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

async function reach(which: string): Promise<{ connection: Connection; container: RunningListing }> {
  const container = await findContainer(which)
  const run = (await listRuns()).find(({ id }) => id === container.runId)
  if (run === undefined) throw new MayflyError('ERR_MAYFLY_CONTAINER_NOT_FOUND', `${container.name} is gone`)
  return { connection: await connectRun(run.file), container }
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
  }
}

/** A slot has no label yet. */
function isContainer({ state, label }: ListedContainer): boolean {
  return state === 'running' || state === 'exited' || label.length > 0
}

function dateOf(nanoseconds: bigint): Date | undefined {
  return nanoseconds === 0n ? undefined : new Date(Number(nanoseconds / 1_000_000n))
}

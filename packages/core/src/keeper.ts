// The background run: one process that owns every detached container of a user, and ends with the last of them.
import { chmodSync, mkdirSync, rmSync, statSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { dirname } from 'node:path'
import { createInterface } from 'node:readline'

import { run } from './container/index.js'
import { NamedNetworks, type NetworkRequest } from './container/named.js'
import type { CommitOptions, Container, RunOptions } from './container/types.js'
import { isMayflyError, MayflyError } from './errors.js'

/** One line of JSON on the keeper's socket, answered by one of `{ ok }` or `{ error }`. */
export type KeeperRequest =
  /** `networks` are named; a container that is `attached` ends with the connection, which hears how it ended. */
  | {
    readonly do: 'run', readonly image: string, readonly options: RunOptions, readonly forget: boolean, readonly networks?: readonly string[],
    readonly attached?: boolean,
  }
  | { readonly do: 'network', readonly request: NetworkRequest }
  /** An attached container stays when the connection ends. */
  | { readonly do: 'release', readonly container: string }
  | { readonly do: 'kill', readonly container: string, readonly signal: string }
  | { readonly do: 'commit', readonly container: string, readonly options: CommitOptions }
  | { readonly do: 'stop', readonly container: string, readonly timeout?: number }

interface Entry {
  readonly container: Container
  readonly forget: boolean
  ended: boolean
  released?: boolean
}

/** How long one that ended by itself is remembered, for `logs` and `ps -a`: milliseconds. */
const memory = 60_000

const entries = new Map<string, Entry>()
const networks = new NamedNetworks()
let busy = 0
let server: Server | undefined
let ending: NodeJS.Timeout | undefined

const socketPath = process.argv[2]
// Also built as CommonJS, which has no top-level await.
if (socketPath !== undefined) {
  keep(socketPath).catch((error: unknown) => {
    process.stderr.write(`${String(error)}\n`)
    process.exitCode = 1
  })
}

async function keep(path: string): Promise<void> {
  // The kernel frees an abstract name with its process, so two keepers never meet and no lock goes stale.
  const lock = createServer()
  if (!await listens(lock, `\0mayfly-keeper ${process.getuid?.() ?? 0} ${path}`)) return announce()
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const owner = statSync(dirname(path))
  if (owner.uid !== process.getuid?.()) throw new Error(`${dirname(path)} belongs to somebody else`)
  rmSync(path, { force: true })
  server = createServer((socket) => { void serve(socket) })
  await listens(server, path)
  chmodSync(path, 0o600)
  process.once('exit', () => { rmSync(path, { force: true }) })
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => { process.exit(0) })
  // What `ps` shows as the owner.
  process.title = 'mayfly keeper'
  announce()
  endWhenIdle(5000)
}

function announce(): void {
  process.stdout.write('ready\n')
  process.stdout.on('error', () => undefined)
}

function listens(one: Server, path: string): Promise<boolean> {
  return new Promise((resolve) => {
    one.once('error', () => { resolve(false) })
    one.listen(path, () => { resolve(true) })
  })
}

async function serve(socket: Socket): Promise<void> {
  busy += 1
  clearTimeout(ending)
  socket.on('error', () => undefined)
  const say = (answer: object): void => { socket.write(`${JSON.stringify(answer)}\n`) }
  try {
    for await (const line of createInterface({ input: socket })) {
      const request = JSON.parse(line) as KeeperRequest
      const result = await answer(request)
      say({ ok: result })
      if (request.do === 'run' && request.attached === true) await attend(String(result), socket, say)
      break
    }
  } catch (error) {
    say({ error: described(error) })
  } finally {
    socket.end()
    busy -= 1
    endWhenIdle(0)
  }
}

async function answer(request: KeeperRequest): Promise<unknown> {
  if (request.do === 'run') return start(request)
  if (request.do === 'network') return networks.carryOut(request.request, byName)
  const entry = entries.get(request.container)
  if (entry === undefined) return undefined
  if (request.do === 'commit') return await entry.container.commit(request.options)
  if (request.do === 'release') return entry.released = true
  if (request.do === 'kill') return await entry.container.kill(request.signal)
  await entry.container.stop(request.timeout === undefined ? {} : { timeout: request.timeout })
  entries.delete(entry.container.id)
  return entry.container.id
}

async function start(request: Extract<KeeperRequest, { do: 'run' }>): Promise<string> {
  const { name } = request.options
  if (name !== undefined && [...entries.values()].some((entry) => entry.container.name === name)) {
    throw new MayflyError('ERR_MAYFLY_NAME_IN_USE', `The container name "${name}" is in use`, { hint: `Stop it first: mayfly stop ${name}` })
  }
  const container = await run(request.image, {
    ...request.options,
    ...(request.networks === undefined ? {} : { network: request.networks.map((name) => networks.find(name)) }),
    ready: { description: 'nothing', acceptsExit: true, ready: async () => undefined },
  })
  const entry: Entry = { container, forget: request.forget, ended: false }
  entries.set(container.id, entry)
  void container.exit.then(() => { ended(entry) })
  return container.id
}

/** Tells how an attached container ended, and takes it away when nobody attends to it any more: its log is read until then. */
async function attend(id: string, socket: Socket, say: (answer: object) => void): Promise<void> {
  const entry = entries.get(id)
  if (entry === undefined) return
  const gone = new Promise<void>((resolve) => void socket.once('close', () => resolve()))
  void entry.container.exit.then((status) => { if (!socket.destroyed) say({ ok: status }) })
  await gone
  if (entry.released === true) return
  entries.delete(id)
  await entry.container[Symbol.asyncDispose]().catch(() => undefined)
}

/** Throws ERR_MAYFLY_CONTAINER_NOT_FOUND. */
function byName(which: string): Container {
  const all = [...entries.values()].map(({ container }) => container)
  const found = all.find(({ id, name }) => id === which || name === which) ?? all.find(({ id }) => which.length >= 4 && id.startsWith(which))
  if (found !== undefined) return found
  throw new MayflyError('ERR_MAYFLY_CONTAINER_NOT_FOUND', `No such detached container: ${which}`, {
    hint: 'Networks made on the command line connect containers that were started with -d.',
  })
}

function ended(entry: Entry): void {
  entry.ended = true
  const forget = async (): Promise<void> => {
    if (entries.delete(entry.container.id)) await entry.container[Symbol.asyncDispose]().catch(() => undefined)
    endWhenIdle(0)
  }
  if (entry.forget) void forget()
  else setTimeout(() => { void forget() }, memory).unref()
  endWhenIdle(0)
}

/** The keeper of nothing has no reason to stay. Those that ended are remembered for a while. */
function endWhenIdle(patience: number): void {
  clearTimeout(ending)
  if (busy > 0 || networks.size > 0 || [...entries.values()].some((entry) => !entry.ended)) return
  const wait = entries.size > 0 ? memory : patience
  ending = setTimeout(() => { process.exit(0) }, wait)
}

function described(error: unknown): object {
  if (isMayflyError(error)) return { code: error.code, message: error.message, hint: error.hint }
  return { message: error instanceof Error ? error.message : String(error) }
}

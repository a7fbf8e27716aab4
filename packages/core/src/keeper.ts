// The background run: one process that owns every detached container of a user, and ends with the last of them.
import { chmodSync, mkdirSync, rmSync, statSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { dirname } from 'node:path'
import { createInterface } from 'node:readline'

import { run } from './container/index.js'
import type { Container, ExitStatus, RunOptions } from './container/types.js'
import { isMayflyError, MayflyError } from './errors.js'

/** One line of JSON on the keeper's socket; answered by lines of `Answer`. One request per connection. */
export type KeeperRequest =
  | { readonly do: 'run', readonly image: string, readonly options: RunOptions, readonly words: readonly string[], readonly forget: boolean }
  | { readonly do: 'list' }
  | { readonly do: 'logs', readonly container: string, readonly follow: boolean, readonly tail?: number }
  | { readonly do: 'stop', readonly container: string, readonly timeout?: number }

export interface KeptContainer {
  readonly id: string
  readonly name: string
  readonly image: string
  readonly command: string
  /** Milliseconds since 1970. */
  readonly createdAt: number
  readonly ports: readonly { readonly container: number, readonly host: string, readonly number: number }[]
  readonly exit?: { readonly code: number, readonly at: number }
}

interface Entry {
  readonly container: Container
  readonly command: string
  readonly createdAt: number
  readonly ports: KeptContainer['ports']
  readonly forget: boolean
  exit?: { readonly code: number, readonly at: number }
}

/** How long one that ended by itself is remembered, for `logs` and `ps -a`: milliseconds. */
const memory = 60_000

const entries = new Map<string, Entry>()
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
  const gone = new AbortController()
  socket.once('close', () => { gone.abort() })
  const say = (answer: object): void => { socket.write(`${JSON.stringify(answer)}\n`) }
  try {
    for await (const line of createInterface({ input: socket })) {
      const request = JSON.parse(line) as KeeperRequest
      if (request.do === 'logs') await sendLogs(request, say, gone.signal)
      else say({ ok: await answer(request) })
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

async function answer(request: Exclude<KeeperRequest, { do: 'logs' }>): Promise<unknown> {
  if (request.do === 'run') return start(request)
  if (request.do === 'list') return [...entries.values()].map(kept).reverse()
  const entry = find(request.container)
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
    ready: { description: 'nothing', acceptsExit: true, ready: async () => undefined },
  })
  const entry: Entry = {
    container,
    command: request.words.join(' '),
    createdAt: Date.now(),
    ports: (request.options.ports ?? []).map((port) => {
      const inside = typeof port === 'number' ? port : port.container
      return { container: inside, host: container.host, number: container.port(inside) }
    }),
    forget: request.forget,
  }
  entries.set(container.id, entry)
  void container.exit.then((status) => { ended(entry, status) })
  return container.id
}

function ended(entry: Entry, status: ExitStatus): void {
  entry.exit = { code: status.code, at: Date.now() }
  const forget = async (): Promise<void> => {
    if (entries.delete(entry.container.id)) await entry.container[Symbol.asyncDispose]().catch(() => undefined)
    endWhenIdle(0)
  }
  if (entry.forget) void forget()
  else setTimeout(() => { void forget() }, memory).unref()
  endWhenIdle(0)
}

async function sendLogs(
  { container, follow, tail }: Extract<KeeperRequest, { do: 'logs' }>, say: (answer: object) => void, signal: AbortSignal,
): Promise<void> {
  const entry = find(container)
  for await (const { stream, text } of entry.container.logs({ follow, ...(tail === undefined ? {} : { tail }) })) {
    if (signal.aborted) return
    say({ stream, text })
  }
  say({ ok: entry.container.id })
}

/** By name, whole id, or the beginning of exactly one id. */
function find(text: string): Entry {
  const all = [...entries.values()]
  const named = all.filter(({ container }) => container.name === text || container.id === text)
  const [only, ...others] = named.length > 0 ? named : all.filter(({ container }) => container.id.startsWith(text))
  if (only !== undefined && others.length === 0 && text !== '') return only
  throw new MayflyError('ERR_MAYFLY_CONTAINER_NOT_FOUND', only === undefined ? `No such container: ${text}` : `Several containers begin with ${text}`, {
    hint: 'mayfly ps -a lists them.',
  })
}

/** The keeper of nothing has no reason to stay. Those that ended are remembered for a while. */
function endWhenIdle(patience: number): void {
  clearTimeout(ending)
  if (busy > 0 || [...entries.values()].some((entry) => entry.exit === undefined)) return
  const wait = entries.size > 0 ? memory : patience
  ending = setTimeout(() => { process.exit(0) }, wait)
}

function kept(entry: Entry): KeptContainer {
  const { container, command, createdAt, ports, exit } = entry
  return { id: container.id, name: container.name, image: container.image, command, createdAt, ports, ...(exit === undefined ? {} : { exit }) }
}

function described(error: unknown): object {
  if (isMayflyError(error)) return { code: error.code, message: error.message, hint: error.hint }
  return { message: error instanceof Error ? error.message : String(error) }
}

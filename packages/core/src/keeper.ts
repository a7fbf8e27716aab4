// The background run: one process that owns every detached container of a user, and ends when none runs any more.
import { chmodSync, mkdirSync, rmSync, statSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { dirname } from 'node:path'
import { createInterface } from 'node:readline'

import { flushEvents } from './container/journal.js'
import { NamedNetworks } from './container/named.js'
import { isMayflyError, messageOf } from './errors.js'
import { KeptContainers } from './keeper/containers.js'
import type { Session } from './keeper/entry.js'
import type { KeeperRequest } from './keeper/types.js'

/** Milliseconds that a keeper of nothing waits: for the first request, and for one that follows another at once. */
const FIRST = 5000
const NEXT = 300

const networks = new NamedNetworks()
const containers = new KeptContainers(networks, () => { endWhenIdle(NEXT) })
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
  await containers.load()
  rmSync(path, { force: true })
  server = createServer((socket) => { void serve(socket) })
  await listens(server, path)
  chmodSync(path, 0o600)
  process.once('exit', () => { rmSync(path, { force: true }) })
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => { process.exit(0) })
  // What `ps` shows as the owner.
  process.title = 'mayfly keeper'
  announce()
  endWhenIdle(FIRST)
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
  const gone = new Promise<void>((resolve) => void socket.once('close', () => resolve()))
  const say = (answer: object): void => {
    // Who is told that it is done may look what happened.
    flushEvents()
    if (!socket.destroyed) socket.write(`${JSON.stringify(answer)}\n`)
  }
  const session = (released: boolean): Session => ({ gone, released })
  try {
    for await (const line of createInterface({ input: socket })) {
      const request = JSON.parse(line) as KeeperRequest
      // What was there before is not its client's to end.
      const attends = (request.do === 'run' || request.do === 'start') && request.attached === true ? session(request.do === 'start') : undefined
      const result = await answer(request, attends, gone)
      say({ ok: result })
      if (request.do === 'files' && result !== undefined) await gone
      if (attends !== undefined) await attend(String(result), attends, say)
      break
    }
  } catch (error) {
    say({ error: described(error) })
  } finally {
    socket.end()
    busy -= 1
    endWhenIdle(NEXT)
  }
}

const sessions = new Map<string, Session>()

async function attend(id: string, session: Session, say: (answer: object) => void): Promise<void> {
  sessions.set(id, session)
  void containers.exit(id).then((status) => { say({ ok: status }) })
  await session.gone
  if (sessions.get(id) === session) sessions.delete(id)
}

/** Answers the container's id where there is one; nothing for containers of other runs. */
async function answer(request: KeeperRequest, session: Session | undefined, gone: Promise<void>): Promise<unknown> {
  if (request.do === 'run') return containers.run(request, session)
  if (request.do === 'create') return containers.create(request)
  if (request.do === 'network') return networks.carryOut(request.request, (which) => containers.running(which))
  const { container: id } = request
  if (!containers.has(id)) return undefined
  if (request.do === 'files') return containers.files(id, gone)
  if (request.do === 'commit') return containers.commit(id, request.options)
  if (request.do === 'start') await containers.start(id, session, request.options)
  else if (request.do === 'release') release(id)
  else if (request.do === 'kill') await containers.kill(id, request.signal)
  else if (request.do === 'stop') await containers.stop(id, request)
  else if (request.do === 'restart') await containers.restart(id, request)
  else if (request.do === 'rename') await containers.rename(id, request.name)
  else if (request.do === 'update') await containers.update(id, request)
  else if (request.do === 'remove') await containers.remove(id, request.force)
  else await containers.pause(id, request.do === 'pause')
  return id
}

function release(id: string): void {
  const session = sessions.get(id)
  if (session !== undefined) session.released = true
}

/** The keeper of nothing that runs has no reason to stay. */
function endWhenIdle(patience: number): void {
  clearTimeout(ending)
  if (busy > 0 || networks.size > 0 || containers.busy) return
  ending = setTimeout(() => { process.exit(0) }, patience)
}

function described(error: unknown): object {
  if (isMayflyError(error)) return { code: error.code, message: error.message, hint: error.hint }
  return { message: messageOf(error) }
}

import { spawn } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'

/** A container the keeper holds. */
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

type Answer = { readonly ok: unknown }
  | { readonly error: { readonly code?: string, readonly message: string, readonly hint?: string } }
  | { readonly stream: 'stdout' | 'stderr', readonly text: string }

/**
 * Asks the keeper; `start` brings it up when it is not there, else the result is `undefined`.
 * Throws what the keeper answered.
 */
export async function ask(
  request: object, { start = false, onLine }: { start?: boolean, onLine?: (stream: 'stdout' | 'stderr', text: string) => void } = {},
): Promise<unknown> {
  const socket = await reach() ?? (start ? await bringUp() : undefined)
  if (socket === undefined) return undefined
  try {
    socket.write(`${JSON.stringify(request)}\n`)
    for await (const line of createInterface({ input: socket })) {
      const answer = JSON.parse(line) as Answer
      if ('ok' in answer) return answer.ok
      if ('error' in answer) throw Object.assign(new Error(answer.error.message), answer.error)
      onLine?.(answer.stream, answer.text)
    }
  } finally {
    socket.destroy()
  }
  throw Object.assign(new Error('The background run ended'), { code: 'ERR_MAYFLY_RUN_LOST' })
}

/** As `ask`, for what needs a container: without a keeper there is none. */
export async function askAbout(container: string, request: object, onLine?: (stream: 'stdout' | 'stderr', text: string) => void): Promise<unknown> {
  const answer = await ask({ ...request, container }, onLine === undefined ? {} : { onLine })
  if (answer !== undefined) return answer
  throw Object.assign(new Error(`No such container: ${container}`), { code: 'ERR_MAYFLY_CONTAINER_NOT_FOUND', hint: 'mayfly ps -a lists them.' })
}

function socketPath(): string {
  const runtime = process.env['XDG_RUNTIME_DIR']
  const base = runtime !== undefined && runtime !== '' ? join(runtime, 'mayfly') : join(tmpdir(), `mayfly-${process.getuid?.() ?? 0}`)
  return join(base, 'keeper.sock')
}

function reach(): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect(socketPath())
    socket.once('connect', () => { resolve(socket) })
    socket.once('error', () => { resolve(undefined) })
  })
}

async function bringUp(): Promise<Socket> {
  const file = join(dirname(createRequire(import.meta.url).resolve('@mayfly/core/package.json')), 'dist/keeper.js')
  mkdirSync(dirname(socketPath()), { recursive: true, mode: 0o700 })
  // A keeper that is just ending may still hold the name.
  for (let attempt = 0; attempt < 20; attempt += 1) {
    const child = spawn(process.execPath, [file, socketPath()], { detached: true, stdio: ['ignore', 'pipe', 'pipe'], cwd: '/' })
    let complaint = ''
    child.stderr.on('data', (chunk: Buffer) => { complaint = (complaint + chunk.toString()).slice(-2000) })
    await new Promise((resolve) => {
      child.stdout.once('data', resolve)
      child.once('close', resolve)
    })
    child.unref()
    child.stdout.destroy()
    child.stderr.destroy()
    const socket = await reach()
    if (socket !== undefined) return socket
    if (complaint !== '') throw new Error(`The background run did not start: ${complaint.trim()}`)
    await new Promise((resolve) => { setTimeout(resolve, 50) })
  }
  throw new Error('The background run did not start')
}

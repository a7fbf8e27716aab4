import { spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { connect, type Socket } from 'node:net'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'

type Answer = { readonly ok?: unknown }
  | { readonly error: { readonly code?: string, readonly message: string, readonly hint?: string } }

/**
 * Asks the keeper; `start` brings it up when it is not there, else the result is `undefined`.
 * Throws what the keeper answered.
 */
export async function ask(request: object, { start = false }: { start?: boolean } = {}): Promise<unknown> {
  const path = (await import('@mayfly/core/engine')).keeperSocket()
  const socket = await reach(path) ?? (start ? await bringUp(path) : undefined)
  if (socket === undefined) return undefined
  try {
    socket.write(`${JSON.stringify(request)}\n`)
    for await (const line of createInterface({ input: socket })) {
      const answer = JSON.parse(line) as Answer
      if ('error' in answer) throw Object.assign(new Error(answer.error.message), answer.error)
      return answer.ok
    }
  } finally {
    socket.destroy()
  }
  throw Object.assign(new Error('The background run ended'), { code: 'ERR_MAYFLY_RUN_LOST' })
}

/** A conversation with the keeper that lasts: its answers one after the other, until it is closed. */
export async function converse(request: object): Promise<{ answers: AsyncGenerator<unknown>, say: (request: object) => Promise<unknown>, close: () => void }> {
  const path = (await import('@mayfly/core/engine')).keeperSocket()
  const socket = await reach(path) ?? await bringUp(path)
  socket.write(`${JSON.stringify(request)}\n`)
  async function* answers(): AsyncGenerator<unknown> {
    for await (const line of createInterface({ input: socket })) {
      const answer = JSON.parse(line) as Answer
      if ('error' in answer) throw Object.assign(new Error(answer.error.message), answer.error)
      yield answer.ok
    }
    throw Object.assign(new Error('The background run ended'), { code: 'ERR_MAYFLY_RUN_LOST' })
  }
  return { answers: answers(), say: ask, close: () => { socket.destroy() } }
}

function reach(path: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => { resolve(socket) })
    socket.once('error', () => { resolve(undefined) })
  })
}

async function bringUp(path: string): Promise<Socket> {
  const file = join(dirname(createRequire(import.meta.url).resolve('@mayfly/core/package.json')), 'dist/keeper.js')
  // A keeper that is just ending may still hold the name.
  for (let attempt = 0; attempt < 20; attempt += 1) {
    const child = spawn(process.execPath, [file, path], { detached: true, stdio: ['ignore', 'pipe', 'pipe'], cwd: '/' })
    let complaint = ''
    child.stderr.on('data', (chunk: Buffer) => { complaint = (complaint + chunk.toString()).slice(-2000) })
    await new Promise((resolve) => {
      child.stdout.once('data', resolve)
      child.once('close', resolve)
    })
    child.unref()
    child.stdout.destroy()
    child.stderr.destroy()
    const socket = await reach(path)
    if (socket !== undefined) return socket
    if (complaint !== '') throw new Error(`The background run did not start: ${complaint.trim()}`)
    await new Promise((resolve) => { setTimeout(resolve, 50) })
  }
  throw new Error('The background run did not start')
}

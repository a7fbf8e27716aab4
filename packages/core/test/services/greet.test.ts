import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { greetPostgres } from '../../src/services/presets/postgres-greet.js'

let directory = ''
let server: Server | undefined

beforeEach(() => { directory = mkdtempSync(join(tmpdir(), 'mayfly-greet-')) })

afterEach(async () => {
  await new Promise(resolve => server?.close(resolve))
  rmSync(directory, { recursive: true, force: true })
})

/** Greets a server that says `answer`, in pieces; gives what it was told, once it was left. */
async function greeted(answer: readonly string[], env = {}): Promise<string> {
  let told = ''
  let left: Promise<unknown> = Promise.resolve()
  const serve = (socket: Socket): void => {
    left = new Promise(resolve => socket.once('close', resolve))
    socket.on('data', bytes => { told += bytes.toString('latin1') })
    void (async () => {
      for (const piece of answer) await new Promise(resolve => socket.write(Buffer.from(piece, 'latin1'), resolve))
    })()
  }
  const path = join(directory, 'socket')
  server = createServer(serve)
  await new Promise<void>(resolve => server?.listen(path, resolve))
  await greetPostgres({ container: { socket: () => Promise.resolve(path) }, env })
  await left
  return told
}

const OK = 'R\0\0\0\u0008\0\0\0\0'
const READY = 'Z\0\0\0\u0005I'

test('says who it is, and waits until the server is ready for queries', async () => {
  const started = await greeted([OK, 'S\0\0\0\u0008a\0b\0', READY.slice(0, 3), READY.slice(3)], { POSTGRES_USER: 'me', POSTGRES_DB: 'app' })
  expect(started).toBe('\0\0\0\u001e\0\u0003\0\0user\0me\0database\0app\0\0')
})

test.each([
  ['asks for a password', 'R\0\0\0\u0017\0\0\0\u000aSCRAM-SHA-256\0\0'],
  ['refuses', 'E\0\0\0\u0009SFATAL\0'],
])('leaves one that %s', async (_what, answer) => {
  expect(await greeted([answer])).toContain('user\0postgres\0database\0postgres\0')
})

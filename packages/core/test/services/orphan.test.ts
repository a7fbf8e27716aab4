// A forked worker whose runner was killed: the run host's socket closes before the kernel gives the worker to another parent.
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, expect, test, vi } from 'vitest'
import { speak } from '../../src/services/wire.js'

const undo: (() => unknown)[] = []
afterEach(async () => {
  for (const one of undo.splice(0).reverse()) await one()
})

test.each(['the socket', 'the runner'])('ends when run and runner are gone, %s first', async (first) => {
  const directory = mkdtempSync(join(tmpdir(), 'mf-orphan-'))
  undo.push(() => rmSync(directory, { recursive: true, force: true }))
  const sockets: Socket[] = []
  const asked = new Promise<void>((resolve) => {
    const server = createServer((socket) => {
      sockets.push(socket)
      speak(socket, (op) => {
        if (op === 'hello') return Promise.resolve(true)
        resolve()
        return new Promise(() => undefined)
      })
    }).listen(join(directory, 'host'))
    undo.push(() => new Promise((done) => { server.close(done) }))
  })
  const plugin = pathToFileURL(join(import.meta.dirname, '../../dist/plugin.js')).href
  const worker = `
    import { openSession } from ${JSON.stringify(plugin)}
    const session = openSession({ socket: ${JSON.stringify(join(directory, 'host'))}, token: 't', addresses: {} }, 'file', 1)
    setInterval(() => undefined, 1000)
    await session.prepare({ name: 'x' }).catch(() => void process.stdout.write('lost'))`
  const runner = spawn(process.execPath, ['-e', `
    const worker = require('node:child_process').spawn(process.execPath, ['--input-type=module', '-e', ${JSON.stringify(worker)}], { stdio: ['ignore', 'inherit', 'inherit'] })
    console.log(worker.pid)`], { stdio: ['ignore', 'pipe', 'inherit'] })
  undo.push(() => runner.kill('SIGKILL'))
  const pid = Number(String(await new Promise((resolve) => { runner.stdout.once('data', resolve) })))
  undo.push(() => { if (existsSync(`/proc/${pid}`)) process.kill(pid, 'SIGKILL') })
  await asked
  const [socket] = sockets
  const gone = new Promise((resolve) => { runner.once('exit', resolve) })
  if (first === 'the socket') {
    // It has looked once when it says so.
    const lost = new Promise((resolve) => { runner.stdout.once('data', resolve) })
    socket?.destroy()
    expect(String(await lost)).toBe('lost')
    expect(existsSync(`/proc/${pid}`)).toBe(true)
  }
  runner.kill('SIGKILL')
  await gone
  socket?.destroy()
  await vi.waitFor(() => { expect(stateOf(pid)).toMatch(/^(gone|Z)$/) }, { timeout: 10_000, interval: 20 })
})

function stateOf(pid: number): string {
  if (!existsSync(`/proc/${pid}`)) return 'gone'
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[0] ?? ''
}

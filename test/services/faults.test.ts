import type { RedisContainer } from '@mayfly/core'
import { openContainer } from '@mayfly/core/engine'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { projectDirectory, take, type TestRun, useRun } from './project.js'

// Real servers, on a machine that others use too.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })

const CONFIG = `
import { writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { once } from 'node:events'
import { defineConfig, redis } from '@mayfly/core'

const here = (name: string) => new URL(name, import.meta.url)
export default defineConfig({
  services: {
    cache: redis({ scope: 'worker' }),
    blocking: redis({ prepare: async () => {
      writeFileSync(here('blocked'), '')
      // What a synchronous migration does to everybody else in this process.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3000)
      writeFileSync(here('blocked-no-more'), '')
    } }),
    chatty: redis({ prepare: async cache => {
      await once(connect(cache.port(6379), cache.host), 'connect')
    } }),
  },
})
`

const run = useRun(CONFIG)

test('while the configuration\'s own code blocks the run host, workers wait and then go on with what they hold', async () => {
  const [worker, other] = [run.session('a.test.ts', 1), run.session('b.test.ts', 2)]
  const cache = await take<RedisContainer>(worker, { name: 'cache' })
  await cache.exec(['redis-cli', 'set', 'a', '1'])
  const prepared = other.prepare({ name: 'blocking' })
  await expect.poll(() => existsSync(join(run.directory, 'blocked')), { timeout: 60_000 }).toBe(true)
  const waiting = cache.exec(['redis-cli', 'get', 'a'])
  // Containers do not stand still with it.
  expect(spawnSync(process.execPath, ['-e', PING, cache.host, String(cache.port(6379))], { encoding: 'utf8' }).stdout).toBe('+PONG')
  expect(existsSync(join(run.directory, 'blocked-no-more'))).toBe(false)
  expect((await waiting).stdout).toBe('1\n')
  expect(existsSync(join(run.directory, 'blocked-no-more'))).toBe(true)
  await prepared
  expect((await take<RedisContainer>(worker, { name: 'cache' })).id).toBe(cache.id)
  await Promise.all([worker.close(), other.close()])
})

test('a worker that blocks its own event loop loses nothing', async () => {
  const session = run.session('a.test.ts')
  const [cache, own] = [await take<RedisContainer>(session, { name: 'cache' }), await take<RedisContainer>(session, { name: 'redis' })]
  await own.exec(['redis-cli', 'set', 'a', '1'])
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3000)
  expect((await own.exec(['redis-cli', 'get', 'a'])).stdout).toBe('1\n')
  expect((await cache.exec(['redis-cli', 'ping'])).stdout).toBe('PONG\n')
  await session.close()
})

test.each([
  ['calls process.exit', 'process.exit(0)'],
  ['is killed', 'process.kill(process.pid, "SIGKILL")'],
  ['is killed while it asks for more', 'void session.lease({ name: "redis", as: "more" }); setTimeout(() => process.kill(process.pid, "SIGKILL"), 30)'],
])('a worker that %s loses its own containers at once, and its slot keeps what is the worker\'s', async (_, end) => {
  const program = join(run.directory, 'worker.mjs')
  writeFileSync(program, `
    import { openSession } from '@mayfly/core/plugin'
    const session = openSession(${JSON.stringify(run.run.address)}, ${JSON.stringify(join(run.directory, 'gone.test.ts'))}, 1)
    const [own, cache] = await Promise.all([session.lease({ name: 'redis' }), session.lease({ name: 'cache' })])
    process.stdout.write(JSON.stringify([own.grant.id, cache.grant.id]), () => { ${end} })`)
  const worker = spawn(process.execPath, [program], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [[text]] = await Promise.all([once(worker.stdout, 'data') as Promise<[Buffer]>, once(worker, 'exit')])
  const [own = '', cache] = JSON.parse(text.toString()) as string[]
  await expect.poll(() => openContainer(own).then(() => 'runs', ({ code }: { code: string }) => code), { timeout: 20_000 }).toBe('ERR_MAYFLY_CONTAINER_NOT_FOUND')
  const next = run.session('next.test.ts', 1)
  expect((await take<RedisContainer>(next, { name: 'cache' })).id).toBe(cache)
  await next.close()
  // What it had only asked for is nobody's either.
  await expect.poll(() => livingOf(run, 'more'), { timeout: 20_000 }).toEqual([])
})

test('clients that a preparation leaves connected are named, and cut', async () => {
  const directory = projectDirectory(CONFIG)
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  const program = join(directory, 'prepare.mjs')
  // A process of its own, for what the run host prints.
  writeFileSync(program, `
    import { launchRun, openSession } from '@mayfly/core/plugin'
    const run = await launchRun({ directories: [${JSON.stringify(directory)}], slots: 1 })
    const session = openSession(run.address, ${JSON.stringify(join(directory, 'a.test.ts'))}, 1)
    const { grant } = await session.lease({ name: 'chatty' })
    console.log(grant.name)
    await session.close()
    await run.close()`)
  const { stderr, status } = spawnSync(process.execPath, [program], { encoding: 'utf8' })
  expect(stderr).toMatch(/^mayfly: the `prepare` of "chatty" left a connection open, cut now\. Close its clients at the end:\n {2}the configuration itself, from \S+:\d+ to \S+:\d+\n$/)
  expect(status).toBe(0)
})

const root = process.geteuid?.() === 0
if (!root) process.stderr.write('not run here: a full disk during a snapshot, which takes a file system of its own\n')

test.runIf(root)('a disk that is full while a snapshot is made: an error that says so, nothing half kept, and the next one succeeds', async () => {
  const home = join(run.place.directory, 'small')
  mkdirSync(home)
  const directory = projectDirectory(`
    import { defineConfig, redis } from '@mayfly/core'
    export default defineConfig({ services: { db: redis({ prepare: async db => void (await db.exec(['sh', '-c', process.env.FILL ?? 'true'])) }) } })`)
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  const program = join(directory, 'full.mjs')
  writeFileSync(program, FULL)
  const script = 'mount -t tmpfs -o size=500m,mode=700 tmpfs "$0" && exec "$@"'
  const { stdout, stderr } = spawnSync('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', script, home, process.execPath, program, directory], {
    encoding: 'utf8', env: { ...process.env, MAYFLY_HOME: home },
  })
  const said = stdout.trim().split('\n').map(line => JSON.parse(line) as { readonly what: string; readonly code: string; readonly text: string; readonly left: readonly string[] })
  expect(said, stderr).toEqual([
    { what: 'changes in memory', code: 'ERR_MAYFLY_STORE_FAILED', text: expect.stringContaining('The disk is full.') as string, left: [] },
    { what: 'the same with room', code: '', text: '', left: ['roomy'] },
    { what: 'a preparation', code: 'ERR_MAYFLY_PREPARE_FAILED', text: expect.stringContaining('The disk is full.') as string, left: ['roomy'] },
    { what: 'the same with room', code: '', text: '', left: [expect.stringMatching(/^db-/) as string, 'roomy'] },
  ])
})

/** Connects without this process's event loop. */
const PING = `const s = require('net').connect(process.argv[2], process.argv[1], () => s.write('PING\\r\\n')).on('data', d => { process.stdout.write(String(d).trim()); s.end() })`

/** Containers that became ready for a service and are not gone. */
async function livingOf(of: TestRun, service: string): Promise<readonly string[]> {
  const ids = of.events().filter(({ event, name }) => event === 'ready' && name === service).map(({ container }) => String(container))
  const codes = await Promise.all(ids.map(id => openContainer(id).then(() => '', ({ code }: { code: string }) => code)))
  return ids.filter((_, nth) => codes[nth] !== 'ERR_MAYFLY_CONTAINER_NOT_FOUND')
}

/** In a mount namespace where the store is a small file system: answers a line per attempt. */
const FULL = `
import { readdirSync, statfsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { run } from '@mayfly/core'
import { endRun } from '@mayfly/core/engine'
import { launchRun, openSession } from '@mayfly/core/plugin'

const home = process.env.MAYFLY_HOME
const ballast = join(home, 'ballast')
const fill = room => {
  const { bavail, bsize } = statfsSync(home)
  writeFileSync(ballast, Buffer.alloc(bavail * bsize - room))
}
const attempt = async (what, work) => {
  const error = await work().then(() => ({ code: '', message: '' }), error => error)
  rmSync(ballast, { force: true })
  const left = ['snapshots', 'ingest'].flatMap(name => { try { return readdirSync(join(home, name)) } catch { return [] } }).sort()
  console.log(JSON.stringify({ what, code: error.code, text: [error.message, error.hint].join(' ').trim(), left }))
}
const big = async () => {
  const box = await run('redis:7')
  await box.exec(['sh', '-c', 'head -c 40000000 /dev/urandom > /big'])
  return box
}
const one = await big()
await attempt('changes in memory', async () => {
  fill(10_000_000)
  await one.snapshot({ key: 'cramped' })
})
const two = await big()
await attempt('the same with room', () => two.snapshot({ key: 'roomy' }))
await endRun()
const prepare = async (environment) => {
  Object.assign(process.env, { FILL: '' }, environment)
  const run = await launchRun({ directories: [process.argv[2]], slots: 1 })
  const session = openSession(run.address, join(process.argv[2], 'a.test.ts'), 1)
  try {
    await session.lease({ name: 'db' })
  } finally {
    await session.close()
    await run.close()
  }
}
// The last byte: not even the snapshot's record fits.
await attempt('a preparation', () => prepare({ FILL: 'cat /dev/zero > /big' }))
await attempt('the same with room', () => prepare({}))
`

import type { RedisContainer } from '@mayfly/core'
import { openContainer } from '@mayfly/core/engine'
import { exportedVariables } from '@mayfly/core/worker'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { openPlace, type Place } from '../place.js'
import { openRun, take, type TestRun } from './project.js'

// Real servers, on a machine that others use too.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })

let place: Place
beforeAll(async () => { place = await openPlace() })
afterAll(() => place.close())

const WATCHED = `
import { defineConfig, redis } from '@mayfly/core'
const word = 'one'
const broken = {}
export default defineConfig({
  services: {
    still: redis({ scope: 'worker', exports: { STILL: still => still.url } }),
    changed: redis({ scope: 'worker', memory: '64m' }),
    prepared: redis({ scope: 'worker', prepare: async cache => void (await cache.exec(['redis-cli', 'set', 'word', word])) }),
    gone: redis({ scope: 'run' }),
    ...broken,
  },
})
`

const configure = (of: TestRun, edit: (text: string) => string): void => writeFileSync(join(of.directory, 'mayfly.config.ts'), edit(WATCHED))
const isThere = (id: string): Promise<boolean> => openContainer(id).then(() => true, () => false)
const wordOf = async (cache: RedisContainer): Promise<string> => (await cache.exec(['redis-cli', 'get', 'word'])).stdout.trim()

test('a changed configuration restarts what changed in it, and nothing else', async () => {
  const run = await openRun(WATCHED, { watching: true })
  const file = join(run.directory, 'a.test.ts')
  const first = run.session('a.test.ts')
  const [still, changed, prepared, gone] = [await take<RedisContainer>(first, { name: 'still' }), await take<RedisContainer>(first, { name: 'changed' }), await take<RedisContainer>(first, { name: 'prepared' }), await take<RedisContainer>(first, { name: 'gone' })]
  expect(exportedVariables(run.run.address, file, 1)).toEqual({ STILL: still.url })
  await first.close()

  configure(run, text => text.replace('STILL', 'NAMED').replace('64m', '65m').replace("'one'", "'two'").replace('gone:', 'added:'))
  await run.run.reload()
  expect(run.events().filter(({ event }) => event === 'changed').map(({ name }) => name)).toEqual(['changed', 'prepared', 'gone'])
  expect(await Promise.all([still, changed, prepared, gone].map(({ id }) => isThere(id)))).toEqual([true, false, false, false])
  const second = run.session('b.test.ts')
  const again = await take<RedisContainer>(second, { name: 'still' })
  expect([again.id, again.url]).toEqual([still.id, still.url])
  expect(exportedVariables(run.run.address, file, 1)).toEqual({ NAMED: still.url })
  expect(await wordOf(await take<RedisContainer>(second, { name: 'prepared' }))).toBe('two')
  expect((await take<RedisContainer>(second, { name: 'changed' })).id).not.toBe(changed.id)
  expect((await (await take<RedisContainer>(second, { name: 'added' })).exec(['redis-cli', 'ping'])).stdout).toBe('PONG\n')
  await expect(take(second, { name: 'gone' })).rejects.toMatchObject({ code: 'ERR_MAYFLY_SERVICE_UNKNOWN' })
  await second.close()

  // One that cannot be used is told of, and all goes on as before.
  configure(run, text => text.replace('{}', "{ wrong: redis({ scope: 'nowhere' }) }"))
  await expect(run.run.reload()).rejects.toMatchObject({ code: 'ERR_MAYFLY_CONFIG_INVALID', message: expect.stringContaining('nowhere') as string })
  const third = run.session('c.test.ts')
  expect((await take<RedisContainer>(third, { name: 'still' })).id).toBe(still.id)
  expect((await take<RedisContainer>(third, { name: 'added' })).name).not.toBe('')
  await third.close()
  await run.close()
})

test('a run that nobody uses holds no container; who comes later gets one, at the same address', async () => {
  vi.stubEnv('MAYFLY_IDLE', '1ms')
  const run = await openRun(WATCHED, { watching: true }).finally(() => vi.unstubAllEnvs())
  const staying = run.session('a.test.ts')
  const still = await take<RedisContainer>(staying, { name: 'still' })
  const passing = run.session('b.test.ts')
  const changed = await take<RedisContainer>(passing, { name: 'changed' })
  await passing.close()
  // As long as a file is there, a millisecond is nothing.
  expect((await still.exec(['redis-cli', 'ping'])).stdout).toBe('PONG\n')
  expect(await isThere(changed.id)).toBe(true)
  await staying.close()
  await expect.poll(async () => [await isThere(still.id), await isThere(changed.id)], { timeout: 20_000 }).toEqual([false, false])
  expect(run.events().some(({ event }) => event === 'idle')).toBe(true)
  const later = run.session('c.test.ts')
  const again = await take<RedisContainer>(later, { name: 'still' })
  expect([again.id === still.id, again.url, (await again.exec(['redis-cli', 'ping'])).stdout]).toEqual([false, still.url, 'PONG\n'])
  await later.close()
  await run.close()
})

const AHEAD = `
import { appendFileSync } from 'node:fs'
import { defineConfig, redis } from '@mayfly/core'
const note = (word: string) => appendFileSync(new URL('log', import.meta.url), word + ' ')
export default defineConfig({
  services: {
    fails: redis({ prepare: () => { note('fails'); throw new Error('on purpose') } }),
    works: redis({ prepare: () => note('works') }),
    hangs: redis({ prepare: async (_, { sh }) => { await sh\`echo $$ > pid; sleep 1000 & echo $! >> pid; wait\` } }),
  },
})
`

const wordsIn = (log: string): readonly string[] => existsSync(log) ? readFileSync(log, 'utf8').trim().split(' ').sort() : []

test('what is declared is prepared before anybody asks; a run that ends meanwhile leaves nothing of it', async () => {
  const run = await openRun(AHEAD, { ahead: true })
  const [log, pids] = [join(run.directory, 'log'), join(run.directory, 'pid')]
  await expect.poll(() => [existsSync(pids) && readFileSync(pids, 'utf8').trim().split('\n').length, wordsIn(log).length], { timeout: 60_000 }).toEqual([2, 2])
  expect(wordsIn(log)).toEqual(['fails', 'works'])
  const session = run.session('a.test.ts')
  await session.lease({ name: 'works' })
  expect(wordsIn(log)).toEqual(['fails', 'works'])
  await expect(session.lease({ name: 'fails' })).rejects.toMatchObject({ code: 'ERR_MAYFLY_PREPARE_FAILED' })
  await session.close()
  const left = readFileSync(pids, 'utf8').trim().split('\n')
  await run.close()
  await expect.poll(() => left.filter(pid => existsSync(`/proc/${pid}`)), { timeout: 20_000 }).toEqual([])
})

const NEEDY = `
import { appendFileSync } from 'node:fs'
import { defineConfig, redis } from '@mayfly/core'
const note = (word: string) => appendFileSync(new URL('log', import.meta.url), word + ' ')
const store = redis({ scope: 'worker' })
export default defineConfig({
  services: {
    unnamed: redis({ prepare: () => note('unnamed') }),
    app: redis({
      needs: { store }, env: (self, { store }) => ({ STORE: store.inside.host, SELF: String(self.port(6379)) }), exports: { APP: app => app.url },
      prepare: async app => {
        const { stdout } = await app.exec(['sh', '-c', 'redis-cli -h $STORE ping'])
        await app.exec(['redis-cli', 'set', 'store', stdout.trim()])
        note('app')
      },
    }),
    helped: redis({ prepare: () => note('helped') }),
  },
})
`

test('what needs others is prepared ahead too, with instances that are there for it alone; what no selected file names is not', async () => {
  const place = await openRun(NEEDY, { files: { 'helper.ts': 'export const helped = () => take("helped")', 'a.test.ts': 'import { helped } from "./helper.js"\nhelped()\ntake(\'app\')' }, ahead: true, selected: ['a.test.ts'] })
  const log = join(place.directory, 'log')
  await expect.poll(() => wordsIn(log), { timeout: 60_000 }).toEqual(['app', 'helped'])
  const stores = (of: TestRun): readonly string[] => of.events().filter(({ event, name }) => event === 'ready' && name === 'app.store').map(({ container }) => String(container))
  expect(stores(place)).toHaveLength(1)
  await expect.poll(() => isThere(stores(place)[0] ?? ''), { timeout: 20_000 }).toBe(false)
  const session = place.session('a.test.ts')
  const app = await take<RedisContainer>(session, { name: 'app' })
  expect((await app.exec(['redis-cli', 'get', 'store'])).stdout).toBe('PONG\n')
  expect(exportedVariables(place.run.address, join(place.directory, 'a.test.ts'), 1)).toEqual({ APP: app.url })
  await session.close()
  expect([wordsIn(log), stores(place).length]).toEqual([['app', 'helped'], 2])
  await place.close()
})

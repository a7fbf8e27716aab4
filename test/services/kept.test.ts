import type { RedisContainer } from '@mayfly/core'
import { listContainers, listSnapshots, prune, removeSnapshot } from '@mayfly/core/engine'
import { run as start } from '@mayfly/core'
import { existsSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { failure, openPlace, type Place } from '../place.js'
import { openRun, take } from './project.js'

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })

const CONFIG = `import { defineConfig, redis } from '@mayfly/core'
export default defineConfig({ services: { db: redis(), other: redis() } })`

let place: Place
beforeAll(async () => { place = await openPlace() })
afterAll(async () => {
  vi.unstubAllEnvs()
  await place.close()
})

const running = async (): Promise<readonly string[]> => (await listContainers()).filter(({ state }) => state === 'running').map(({ name }) => name)

/** A run with a failed test that used `db`, and a passed one. */
async function failingRun(): Promise<{ readonly name: string; readonly kept: readonly string[] }> {
  const run = await openRun(CONFIG)
  const passing = run.session('passes.test.ts')
  await take<RedisContainer>(passing, { name: 'other' })
  await passing.endTest({ failed: false })
  await passing.close()
  const session = run.session('fails.test.ts')
  const db = await take<RedisContainer>(session, { name: 'db' })
  const { name } = db
  await session.endTest({ failed: true })
  await session.close()
  const summary = await run.run.close()
  await run.close()
  return { name, kept: (summary?.kept ?? []).map(({ container, reach }) => `${container} ${reach.split(' ')[0] ?? ''}`) }
}

test('containers of failed tests stay when that is asked for, and nothing else does', async () => {
  vi.stubEnv('MAYFLY_KEEP', 'on-failure:10m')
  const { name, kept } = await failingRun()
  expect(kept).toEqual([`${name} redis-cli`])
  expect(await running()).toEqual([name])
  await prune()
  await expect.poll(running, { timeout: 20_000 }).toEqual([])
})

test('they end when their time is over', async () => {
  vi.stubEnv('MAYFLY_KEEP', 'on-failure:1s')
  await failingRun()
  await expect.poll(running, { timeout: 30_000 }).toEqual([])
})

test('without it nothing stays', async () => {
  vi.stubEnv('MAYFLY_KEEP', '')
  expect((await failingRun()).kept).toEqual([])
  expect(await running()).toEqual([])
  vi.stubEnv('MAYFLY_KEEP', 'sometimes')
  expect(await failure(openRun(CONFIG))).toMatchObject({ code: 'ERR_MAYFLY_OPTION_INVALID' })
  vi.stubEnv('MAYFLY_KEEP', '')
})

test('snapshots take no more than they may: the longest unused go, unless they were used lately or are in use', async () => {
  const make = async (key: string): Promise<void> => {
    const box = await start('redis:7', { scratch: 'disk' })
    await box.exec(['sh', '-c', 'head -c 1000000 /dev/zero > /big'])
    await box.snapshot({ key })
    // Its record is replaced once it is on the disk.
    await expect.poll(() => existsSync(join(place.directory, 'home/snapshots', key, 'synced.json')), { timeout: 30_000 }).toBe(false)
  }
  const age = (key: string, hours: number): void => {
    const at = Date.now() / 1000 - hours * 3600
    utimesSync(join(place.directory, 'home/snapshots', key, 'snapshot.json'), at, at)
  }
  for (const [key, hours] of [['old-one', 5], ['older-one', 9], ['used-one', 7]] as const) {
    await make(key)
    age(key, hours)
  }
  expect((await listSnapshots()).map(({ key }) => key).sort()).toEqual(['old-one', 'older-one', 'used-one'])
  const { openSnapshot } = await import('@mayfly/core/engine')
  const user = await (await openSnapshot('used-one'))?.run()
  age('used-one', 7)
  vi.stubEnv('MAYFLY_SNAPSHOTS', '3m')
  await make('new-one')
  await expect.poll(async () => (await listSnapshots()).map(({ key }) => key).sort(), { timeout: 20_000 }).toEqual(['new-one', 'old-one', 'used-one'])
  expect(await failure(removeSnapshot('used-one'))).toMatchObject({ code: 'ERR_MAYFLY_STORE_BUSY' })
  await user?.stop({ timeout: 0 })
  expect((await place.mayfly(['snapshots', '--format', '{{.Key}} {{.Image}} {{.Size}}'])).stdout.split('\n').sort()).toEqual(['', 'new-one redis:7 1MB', 'old-one redis:7 1MB', 'used-one redis:7 1MB'])
  expect(await place.mayfly(['snapshots', 'rm', 'used-one', 'no-one'])).toEqual({ code: 1, stdout: 'used-one\n', stderr: expect.stringContaining('No such snapshot: no-one') as string })
  expect((await listSnapshots()).map(({ key }) => key).sort()).toEqual(['new-one', 'old-one'])
})

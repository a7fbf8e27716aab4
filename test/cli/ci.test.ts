import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { execute, openPlace, program, type Outcome, type Place } from '../place.js'

let place: Place
let project: string
beforeAll(async () => {
  place = await openPlace()
  // Beside the packages, so that the configuration finds them.
  project = join(import.meta.dirname, `fixtures-${String(process.pid)}`)
  mkdirSync(join(project, 'sql'), { recursive: true })
  writeFileSync(join(project, 'sql/1.sql'), 'SELECT 1;\n')
  writeFileSync(join(project, 'mayfly.config.ts'), `
import { defineConfig, image, redis } from '@mayfly/core'
export default defineConfig({ services: {
  cache: redis({ prepare: { inputs: ['sql/*.sql'], run: () => undefined } }),
  again: redis(),
  tool: image('busybox'),
} })
`)
})
afterAll(async () => {
  rmSync(project, { recursive: true })
  await place.close()
})

const inProject = (...words: readonly string[]): Promise<Outcome> =>
  execute('sh', ['-c', 'cd "$0" && exec "$@"', project, process.execPath, program, ...words], process.env)

test('pull without a name fetches what the configuration names, each image once', async () => {
  const { code, stdout, stderr } = await inProject('pull', '-q')
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(stdout).toBe('docker.io/library/redis:7\ndocker.io/library/busybox:latest\n')
  expect(await place.mayfly(['run', '--rm', '--pull', 'never', 'busybox', 'echo', 'there'])).toMatchObject({ stdout: 'there\n' })
})

test('the key of a cache changes with what the cache depends on', async () => {
  const key = async (): Promise<string> => (await inProject('cache-key')).stdout
  const first = await key()
  expect(first).toMatch(/^mayfly-\w+-[0-9a-f]{32}\n$/)
  expect(await key()).toBe(first)
  writeFileSync(join(project, 'sql/1.sql'), 'SELECT 2;\n')
  expect(await key()).not.toBe(first)
})

test('doctor says whether the tests\' program includes the configuration, without which names are not typed', async () => {
  const names = async (): Promise<unknown> => (await inProject('doctor', '--format', 'json')).stdout.split('\n').filter((line) => line.includes('typed names')).map((line) => (JSON.parse(line) as { readonly ok: boolean }).ok)
  writeFileSync(join(project, 'tsconfig.json'), '{ "include": ["src"] }')
  expect(await names()).toEqual([false])
  expect((await inProject('doctor')).stdout).toMatch(/^limited {2}typed names .*mayfly\.config\.ts is not in the program of .*tsconfig\.json.*\n {9}Add it to "include"/m)
  writeFileSync(join(project, 'tsconfig.json'), '{ "include": ["*.ts"] }')
  expect(await names()).toEqual([true])
  rmSync(join(project, 'tsconfig.json'))
})

test('the recipe of the manual: what one job fetched and prepared, the next one has from its cache', async () => {
  const [, recipe = ''] = /## In CI\n\n((?: {4}.*\n)+)/.exec(readFileSync(join(import.meta.dirname, '../../docs/services.md'), 'utf8')) ?? []
  const lines = recipe.trim().split('\n').map((line) => line.replace(/#.*/, '').trim())
  expect(lines).toEqual(['npm ci', 'npx mayfly pull', 'npx jest'])
  writeFileSync(join(project, 'run.mjs'), `
    import { launchRun, openSession } from '@mayfly/core/plugin'
    const run = await launchRun({ directories: [process.cwd()], slots: 1 })
    const session = openSession(run.address, process.cwd() + '/a.test.ts', 1)
    await session.lease({ name: 'cache' })
    await session.close()
    const { started, cloned, prepared, pulled } = await run.close()
    console.log(JSON.stringify({ started, cloned, prepared, pulled: pulled.images }))`)
  const job = async (home: string): Promise<readonly Outcome[]> => {
    const env = { ...process.env, MAYFLY_HOME: home }
    const all: Outcome[] = []
    for (const command of [[program, 'pull', '-q'], ['run.mjs']]) all.push(await execute('sh', ['-c', 'cd "$0" && exec "$@"', project, process.execPath, ...command], env))
    return all
  }
  const [first, second] = [join(place.directory, 'first'), join(place.directory, 'second')]
  const [pulled, ran] = await job(first)
  expect([pulled, ran?.stderr]).toEqual([{ code: 0, stdout: 'docker.io/library/redis:7\ndocker.io/library/busybox:latest\n', stderr: '' }, ''])
  // As a cache does it: packed and unpacked elsewhere.
  expect((await execute('sh', ['-c', 'mkdir "$1" && tar -C "$0" --posix -cf - . | tar -C "$1" -xpf -', first, second], process.env)).stderr).toBe('')
  const [, again] = await job(second)
  expect([ran, again].map((one) => JSON.parse(one?.stdout ?? '') as unknown)).toEqual([
    { started: 0, cloned: 1, prepared: 1, pulled: 0 },
    { started: 0, cloned: 1, prepared: 0, pulled: 0 },
  ])
})

test('without a configuration both say what to do', async () => {
  const outside = (...words: readonly string[]): Promise<Outcome> =>
    execute('sh', ['-c', 'cd / && exec "$@"', 'sh', process.execPath, program, ...words], process.env)
  for (const word of ['pull', 'cache-key']) {
    expect(await outside(word)).toMatchObject({ code: 1, stderr: expect.stringContaining('No mayfly.config was found in /') as string })
  }
})

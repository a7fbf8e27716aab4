import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
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

test('without a configuration both say what to do', async () => {
  const outside = (...words: readonly string[]): Promise<Outcome> =>
    execute('sh', ['-c', 'cd / && exec "$@"', 'sh', process.execPath, program, ...words], process.env)
  for (const word of ['pull', 'cache-key']) {
    expect(await outside(word)).toMatchObject({ code: 1, stderr: expect.stringContaining('No mayfly.config was found in /') as string })
  }
})

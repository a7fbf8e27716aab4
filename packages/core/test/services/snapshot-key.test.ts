import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, expect, test } from 'vitest'
import type { FoundImage } from '../../src/container/index.js'
import { definitionOf } from '../../src/services/definition.js'
import { postgres, redis } from '../../src/services/presets/index.js'
import { snapshotKey } from '../../src/services/prepared.js'
import type { Service } from '../../src/services/types.js'

const root = realpathSync(mkdtempSync(join(tmpdir(), 'mf-key-')))
afterAll(() => rmSync(root, { recursive: true, force: true }))

const config = join(root, 'mayfly.config.ts')
const prepare = { inputs: ['migrations/*.sql'], run: () => undefined }
const image = { digest: 'sha256:1' } as unknown as FoundImage
const service = (options: object = {}): Service => postgres('postgres:17', { prepare, env: { A: '1' }, ...options } as never) as unknown as Service
const keyOf = (of = service(), found = image, name = 'db'): string => snapshotKey(of, { config, name }, found)

beforeEach(() => {
  mkdirSync(join(root, 'migrations'), { recursive: true })
  for (const [file, text] of Object.entries({ 'mayfly.config.ts': 'import { seed } from "./seed.js"', 'seed.ts': 'export const seed = 1', 'migrations/1.sql': 'SELECT 1', 'package-lock.json': '{}', 'other.ts': '' })) writeFileSync(join(root, file), text)
})

test.each<[string, () => unknown]>([
  ['the configuration', () => writeFileSync(config, 'import { seed } from "./seed.js"; seed')],
  ['a module of its', () => writeFileSync(join(root, 'seed.ts'), 'export const seed = 2')],
  ['an input', () => writeFileSync(join(root, 'migrations/1.sql'), 'SELECT 2')],
  ['a further input', () => writeFileSync(join(root, 'migrations/2.sql'), 'SELECT 2')],
  ['the lock file', () => writeFileSync(join(root, 'package-lock.json'), '{ "a": 1 }')],
])('a prepared state depends on %s', (_, change) => {
  const before = [keyOf(), definitionOf('db', service(), config)]
  change()
  const after = [keyOf(), definitionOf('db', service(), config)]
  rmSync(join(root, 'migrations/2.sql'), { force: true })
  expect(after[0]).not.toBe(before[0])
  expect(after[1]).not.toBe(before[1])
})

test('and on the image, its name and its options, as far as they concern it', () => {
  const before = keyOf()
  expect(keyOf(service(), { ...image, digest: 'sha256:2' } as never)).not.toBe(before)
  expect(keyOf(service(), image, 'other')).not.toBe(before)
  for (const options of [{ env: { A: '2' } }, { memory: '64m' }, { prepare: { ...prepare, run: () => 1 } }, { isolation: 'database' }]) expect([options, keyOf(service(options))]).not.toEqual([options, before])
  for (const options of [{ scope: 'test' }, { exports: { URL: () => '' } }, { reset: 'test' }, { start: 'eager' }, { pull: 'always' }]) expect([options, keyOf(service(options))]).toEqual([options, before])
  writeFileSync(join(root, 'other.ts'), 'changed')
  expect(keyOf()).toBe(before)
})

test('what is neither prepared nor has a function depends on its options alone', () => {
  const plain = (options: object = {}): string => definitionOf('cache', redis({ scope: 'worker', ...options } as never) as unknown as Service, config)
  const before = plain()
  writeFileSync(config, 'changed')
  expect(plain({ exports: { URL: () => 'x' }, startTimeout: 5, start: 'eager' })).toBe(before)
  expect(plain({ memory: '64m' })).not.toBe(before)
  const needs = (options: object): string => plain({ needs: { db: redis(options as never) } })
  expect(needs({ memory: '64m' })).not.toBe(needs({}))
  const computed = plain({ env: () => ({}) })
  writeFileSync(config, 'changed again')
  expect(plain({ env: () => ({}) })).not.toBe(computed)
})

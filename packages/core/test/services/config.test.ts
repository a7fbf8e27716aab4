import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { loadConfig } from '../../src/services/config.js'
import { findConfig } from '../../src/services/find-config.js'

const root = realpathSync(mkdtempSync(join(tmpdir(), 'mf-config-')))
afterAll(() => rmSync(root, { recursive: true, force: true }))

test('the nearest file upwards is found', () => {
  mkdirSync(join(root, 'a/b/c'), { recursive: true })
  writeFileSync(join(root, 'mayfly.config.js'), '')
  writeFileSync(join(root, 'a/mayfly.config.ts'), '')
  expect(findConfig(join(root, 'a/b/c'))).toBe(join(root, 'a/mayfly.config.ts'))
  expect(findConfig(root)).toBe(join(root, 'mayfly.config.js'))
})

test('TypeScript is loaded without a build, and afresh', async () => {
  const path = join(root, 'mayfly.config.mts')
  const source = (image: string): string =>
    `interface S { image: string }\nconst web: S & { options: object } = { image: '${image}', options: {} }\nexport default { services: { web } }`
  writeFileSync(path, source('one:1'))
  expect((await loadConfig(path)).services['web']?.image).toBe('one:1')
  writeFileSync(path, source('two:2'))
  expect((await loadConfig(path)).services['web']?.image).toBe('two:2')
})

test.each([
  ['no services', 'export default {}', /services/],
  ['a service that is none', 'export default { services: { web: "httpd" } }', /"web" is no service/],
  ['an unknown scope', 'export default { services: { web: { image: "x", options: { scope: "forever" } } } }', /scope/],
  ['a name that could be an image', 'export default { services: { "a:b": { image: "x", options: {} } } }', /name/],
  ['broken source', 'export default {', /Cannot load/],
])('%s is an error of its own', async (what, source, message) => {
  const path = join(root, `${what}.config.mjs`)
  writeFileSync(path, source)
  await expect(loadConfig(path)).rejects.toMatchObject({
    code: 'ERR_MAYFLY_CONFIG_INVALID',
    message: expect.stringMatching(message) as string,
  })
})

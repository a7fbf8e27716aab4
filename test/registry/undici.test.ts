import { cpSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'

import { fakeRegistry, tar, type FakeRegistry } from '../../packages/core/test/images/fixture.js'
import { makePuller } from '../pull/pulling.js'

const before = { ...process.env }
let registry: FakeRegistry
let directory: string

beforeAll(async () => {
  registry = await fakeRegistry()
})
afterAll(() => registry.close())
afterEach(() => {
  process.env = { ...before }
  rmSync(directory, { recursive: true })
})

/** Has child processes find another undici, whose files lie elsewhere; what they ask of it is in the file that is answered. */
function another(files: Readonly<Record<string, string>>): string {
  directory = mkdtempSync(join(tmpdir(), 'mayfly-undici-'))
  const place = join(directory, 'node_modules/undici')
  cpSync(dirname(createRequire(new URL('../../packages/core/package.json', import.meta.url)).resolve('undici')), place, { recursive: true })
  renameSync(join(place, 'lib'), join(place, 'parts'))
  writeFileSync(join(place, 'index.js'), readFileSync(join(place, 'index.js'), 'utf8').replaceAll('./lib/', './parts/'))
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(place, name)), { recursive: true })
    writeFileSync(join(place, name), content)
  }
  const asked = join(directory, 'asked')
  writeFileSync(join(directory, 'hooks.mjs'), `import { appendFileSync } from 'node:fs'
    export function resolve(name, context, next) {
      if (!/^undici(\\/|$)/.test(name)) return next(name, context)
      appendFileSync(${JSON.stringify(asked)}, name + '\\n')
      return next(name, { ...context, parentURL: ${JSON.stringify(pathToFileURL(join(directory, 'from.mjs')).href)} })
    }`)
  writeFileSync(join(directory, 'register.mjs'), 'import { register } from \'node:module\'\nregister(\'./hooks.mjs\', import.meta.url)\n')
  process.env['NODE_OPTIONS'] = `--import=${pathToFileURL(join(directory, 'register.mjs')).href}`
  return asked
}

test.each<[string, Record<string, string>]>([
  ['lacks the files that are loaded alone', {}],
  ['has something else in them', { 'lib/dispatcher/agent.js': 'module.exports = {}', 'lib/api/api-request.js': 'module.exports = {}' }],
  ['gives out no files at all', { 'package.json': '{"name":"undici","version":"7.99.0","exports":{".":"./index.js"}}' }],
])('of an undici that %s the whole is taken', { timeout: 60_000 }, async (_, files) => {
  const digest = registry.add('app', 'latest', [tar([{ name: 'a', content: 'a' }])])
  const asked = another(files)
  expect(await (await makePuller(join(directory, 'home'), `${registry.host}/app`)).go()).toBe(`digest ${digest}`)
  const names = readFileSync(asked, 'utf8').trim().split('\n')
  expect(names[0]).toBe('undici/lib/dispatcher/agent.js')
  expect(names).toContain('undici')
})

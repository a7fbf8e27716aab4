import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { execute, program, type Outcome } from '../place.js'

let cache: string
beforeEach(() => { cache = mkdtempSync(join(tmpdir(), 'mayfly-compiled-')) })
afterEach(() => { rmSync(cache, { recursive: true, force: true }) })

function mayfly(words: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Outcome> {
  return execute(process.execPath, [program, ...words], { ...process.env, XDG_CACHE_HOME: cache, ...env })
}

function kept(): string[] {
  const root = join(cache, 'mayfly-code')
  return existsSync(root) ? readdirSync(root).flatMap((one) => readdirSync(join(root, one)).map((name) => join(root, one, name))) : []
}

test('what a command compiled is kept for the next one like it, for its user alone', async () => {
  const { stdout } = await mayfly(['version'])
  const [file = ''] = kept()
  expect(kept().map((path) => path.split('/').at(-1))).toEqual(['version'])
  expect([statSync(join(cache, 'mayfly-code')).mode & 0o777, statSync(file).mode & 0o777]).toEqual([0o700, 0o600])
  const { ino } = statSync(file)
  expect(await mayfly(['version'])).toEqual({ code: 0, stdout, stderr: '' })
  // V8 took it: what it does not take is made anew.
  expect(statSync(file).ino).toBe(ino)
  writeFileSync(file, readFileSync(file).fill(0, 0, 64))
  expect(await mayfly(['version'])).toEqual({ code: 0, stdout, stderr: '' })
  expect(statSync(file).ino).not.toBe(ino)
})

test('what others may have written is not read', async () => {
  await mayfly(['version'])
  const [file = ''] = kept()
  writeFileSync(file, readFileSync(file).fill(0xff, 64))
  chmodSync(join(cache, 'mayfly-code'), 0o777)
  expect((await mayfly(['version'])).code).toBe(0)
})

test('nothing is kept of what failed, of words that are no command, where it is turned off, and where nothing can be written', async () => {
  expect((await mayfly(['no-such'])).code).toBe(1)
  expect((await mayfly(['../../version'])).code).toBe(1)
  expect((await mayfly(['version'], { NODE_DISABLE_COMPILE_CACHE: '1' })).code).toBe(0)
  expect(readdirSync(cache)).toEqual([])
  writeFileSync(join(cache, 'file'), '')
  const { code, stderr } = await mayfly(['version'], { XDG_CACHE_HOME: join(cache, 'file') })
  expect([code, stderr]).toEqual([0, ''])
})

test('of other versions the last three are left', async () => {
  await mayfly(['version'])
  const [file = ''] = kept()
  const root = join(cache, 'mayfly-code')
  const own = file.split('/').at(-2) ?? ''
  for (const name of ['a', 'b', 'c', 'd']) await execute('sh', ['-c', `mkdir ${root}/${name} && touch -d @${name.charCodeAt(0)} ${root}/${name}`], process.env)
  rmSync(join(root, own), { recursive: true })
  await mayfly(['version'])
  expect(readdirSync(root).sort()).toEqual([own, 'b', 'c', 'd'].sort())
})

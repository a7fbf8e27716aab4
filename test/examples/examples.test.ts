import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { packAll, usePacked } from '../../scripts/packed.mjs'
import { openBench, type Bench } from '../jest/runner.js'

// Packs, installs and runs, on a machine that may be busy.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 180_000 })

const root = join(import.meta.dirname, '../..')
const examples = readdirSync(join(root, 'examples'))
const own = (path: string): boolean => !/\/(node_modules|package-lock\.json)$/.test(path)

let bench: Bench
let installed: string
beforeAll(async () => {
  bench = await openBench()
  installed = join(bench.directory, 'examples')
  mkdirSync(installed)
  const tarballs = await packAll(root, installed)
  for (const name of examples) {
    cpSync(join(root, 'examples', name), join(installed, name), { recursive: true, filter: own })
    usePacked(root, join(installed, name, 'package.json'), tarballs)
  }
  // All at once: each by itself is `npm run test:consumers`.
  const { overrides } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { overrides: object }
  writeFileSync(join(installed, 'package.json'), JSON.stringify({ name: 'examples', private: true, workspaces: examples, overrides }))
  const { status, stdout, stderr } = spawnSync('npm', ['install', '--silent', '--no-audit', '--no-fund', '--prefer-offline'], { cwd: installed, env: bench.environment, encoding: 'utf8' })
  if (status !== 0) throw new Error(stdout + stderr)
})
afterAll(() => bench.close())

test.each(examples)('%s: its tests pass with the packages as they are published', (name) => {
  const trace = join(installed, `${name}.trace`)
  const { status, stdout, stderr } = spawnSync('npm', ['test', '--silent'], {
    cwd: join(installed, name), encoding: 'utf8', env: { ...bench.environment, CI: 'true', MAYFLY_TRACE_FILE: trace },
  })
  expect(status, stdout + stderr).toBe(0)
  // Without a plugin nobody writes it.
  if (name !== 'library') expect(existsSync(trace) && readFileSync(trace, 'utf8')).toContain('"event":"ready"')
})

test.each(examples)('%s names every package that it imports', (name) => {
  const { dependencies = {}, devDependencies = {} } = JSON.parse(readFileSync(join(root, 'examples', name, 'package.json'), 'utf8')) as Record<string, object>
  const named = Object.keys({ ...dependencies, ...devDependencies })
  const files = readdirSync(join(root, 'examples', name), { recursive: true, encoding: 'utf8' }).filter((file) => own(`/${file}`) && !file.includes('node_modules/') && /\.[cm]?[jt]s$/.test(file))
  const imported = files.flatMap((file) => [...readFileSync(join(root, 'examples', name, file), 'utf8').matchAll(/(?:\bfrom|\bimport|\brequire\()\s*['"]([^'".][^'"]*)['"]/g)].map(([, specifier = '']) => specifier))
  const packages = imported.filter((one) => !one.startsWith('node:') && !builtinModules.includes(one)).map((one) => one.split('/').slice(0, one.startsWith('@') ? 2 : 1).join('/'))
  expect([...new Set(packages)].filter((one) => !named.includes(one))).toEqual([])
})

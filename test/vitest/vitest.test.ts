import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { openBench, runTests, type Bench } from '../jest/runner.js'

// Real runners, on a machine that may be busy.
vi.setConfig({ testTimeout: 120_000 })

let bench: Bench
beforeAll(async () => { bench = await openBench() })
afterAll(() => bench.close())

describe.each(['forks', 'threads'])('%s', (pool) => {
  test('arguments, functions and exports; each worker keeps its own container', async () => {
    const report = await runTests('vitest', 'main', bench, [`--pool=${pool}`, '--exclude=**/unknown.case.js'])
    expect(report.failures.trim()).toBe('')
    expect(report.code).toBe(0)
    expect(Object.keys(report.tests)).toHaveLength(12)
    const uses = [...report.output.matchAll(/slot (\d) has (\w+) at (\S+)/g)].map((match) => match.slice(1).join(' '))
    expect(uses).toHaveLength(4)
    expect(new Set(uses).size).toBe(2)
    expect(new Set(uses.map((use) => use.split(' ')[1])).size).toBe(2)
  })

  test('every worker has a PostgreSQL of its own, and no file sees another worker\'s rows', async () => {
    const own = { ...bench, environment: { ...bench.environment, MEETING_POINT: join(bench.directory, `meeting-${pool}`) } }
    const report = await runTests('vitest', 'rows', own, [`--pool=${pool}`])
    expect(report.failures.trim()).toBe('')
    expect(Object.values(report.tests)).toEqual(['passed', 'passed', 'passed', 'passed'])
    const seen = [...report.output.matchAll(/saw (.+)/g)].flatMap((match) => (match[1] ?? '').split(', '))
    expect(new Set(seen.map((row) => row.split(' ')[0]))).toEqual(new Set(['1', '2']))
  })

  test('an unknown name fails its file only, with a suggestion', async () => {
    const report = await runTests('vitest', 'main', bench, [`--pool=${pool}`, 'unknown', 'one'])
    expect(report.code).toBe(1)
    expect(report.output).toContain('No service or preset is called "cahce"')
    expect(report.output).toContain('Did you mean "cache"?')
    expect(Object.entries(report.tests).filter(([name, status]) => name.includes('one:') && status === 'passed')).toHaveLength(3)
  })
})

test('members of a class, scopes, retries and tests at the same time', async () => {
  const report = await runTests('vitest', 'members', bench)
  const failed = Object.entries(report.tests).filter(([, status]) => status !== 'passed').map(([name]) => name)
  expect(failed, report.output).toEqual(['FAILS: a variable cannot point at the instance of each'])
  expect(report.failures).toContain('"cache" exports REDIS_URL, which cannot name an instance per concurrent test')
  expect(Object.keys(report.tests)).toHaveLength(15)
})

test.each(['', 'older'])('decorated members have the types of their services: %s', (project) => {
  const root = join(import.meta.dirname, '../..')
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const { status, stdout } = spawnSync(process.execPath, [tsc, '-p', join(import.meta.dirname, 'fixtures/members', project)], { encoding: 'utf8' })
  expect(stdout).toBe('')
  expect(status).toBe(0)
}, 60_000)

test('every preset whose server Debian has, as its image starts it', async () => {
  const report = await runTests('vitest', 'presets', bench)
  expect(report.failures.trim()).toBe('')
  expect(Object.values(report.tests)).toEqual(Array.from({ length: 6 }, () => 'passed'))
})

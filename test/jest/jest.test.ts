import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { openBench, runTests, type Bench } from './runner.js'

// Real runners, on a machine that may be busy.
vi.setConfig({ testTimeout: 120_000 })

let bench: Bench
beforeAll(async () => { bench = await openBench() })
afterAll(() => bench.close())

test('pragmas, functions, blocks and exports', async () => {
  const report = await runTests('jest', 'main', bench, ['--maxWorkers=2', '--testPathIgnorePatterns=unknown'])
  expect(report.failures.trim()).toBe('')
  expect(Object.keys(report.tests)).toHaveLength(12)
  expect(report).toMatchObject({ code: 0, output: expect.stringContaining('user teardown ran') as string })
})

test('nothing of ours keeps Jest open', async () => {
  const report = await runTests('jest', 'main', bench, ['--runInBand', '--detectOpenHandles', 'blocks'])
  expect(report.code).toBe(0)
  expect(report.output).not.toMatch(/open handle|did not exit/)
})

test('an unknown name fails its file only, with a suggestion', async () => {
  const report = await runTests('jest', 'main', bench, ['--maxWorkers=2', 'unknown', 'single'])
  expect(report.code).toBe(1)
  expect(report.failures).toContain('No service or preset is called "cahce"')
  expect(report.failures).toContain('Did you mean "cache"?')
  expect(Object.values(report.tests)).toEqual(['passed', 'passed'])
})

test('a pragma alone works, with one hint', async () => {
  const report = await runTests('jest', 'alone', bench, ['--runInBand'])
  expect(report).toMatchObject({ code: 0, tests: { 'a pragma is enough': 'passed' } })
  expect(report.output.match(/Add withMayfly/g)).toHaveLength(1)
})

test('the user\'s environment is composed, not replaced', async () => {
  const report = await runTests('jest', 'jsdom', bench)
  expect(report.failures.trim()).toBe('')
  expect(report.code).toBe(0)
})

test('a failed test shows what its containers printed, and how to reach them', async () => {
  const report = await runTests('jest', 'failing', bench)
  expect(report.code).toBe(1)
  const failures = report.failures.split(/(?=FAILED )/)
  for (const name of ['compares', 'throws text', 'never runs']) {
    const text = failures.find((one) => one.includes(name)) ?? ''
    expect(text).toMatch(/redis \(mayfly-\w+\) at redis-cli -u redis:\/\/198\.\S+:6379, its last log lines:\n.*\n/)
    expect(text).toContain('Redis is starting')
  }
  expect(report.failures).toMatch(/redis \(mayfly-\w+\) was stopped by the test\./)
})

test('a file that crashed is run again, with an instance of its own and none left over', async () => {
  const own = { ...bench, environment: { ...bench.environment, ATTEMPTS: join(bench.directory, 'attempts') } }
  // Jest runs files it remembers as quick in its own process, which a crash would end.
  const report = await runTests('jest', 'crash', own, ['--maxWorkers=2', `--cacheDirectory=${join(bench.directory, 'cache')}`])
  expect(report.failures.trim()).toBe('')
  expect(Object.values(report.tests)).toEqual(['passed', 'passed'])
})

test.each(['typed', 'preset', 'members/older'])('%s: ts-jest around our environment, our preset alone, decorators of the older kind', async (project) => {
  const report = await runTests('jest', project, bench, ['--runInBand'])
  expect(report.failures.trim()).toBe('')
  expect(Object.values(report.tests)).toEqual(['passed'])
})

test('members of a class, scopes, retries and tests at the same time', async () => {
  const report = await runTests('jest', 'members', bench, ['--maxWorkers=2'])
  const failed = Object.entries(report.tests).filter(([, status]) => status !== 'passed').map(([name]) => name)
  expect(failed, report.output).toEqual(['FAILS: a variable cannot point at the instance of each', 'FAILS: and shows what its container printed'])
  expect(report.failures).toContain('"cache" exports REDIS_URL, which cannot name an instance per concurrent test')
  expect(report.failures).toMatch(/cache \(mayfly-\w+\) at redis-cli -u .*its last log lines:\n/)
  expect(Object.keys(report.tests)).toHaveLength(17)
})

test.each(['', 'older'])('decorated members have the types of their services: %s', (project) => {
  const tsc = join(import.meta.dirname, '../../node_modules/typescript/bin/tsc')
  const { status, stdout } = spawnSync(process.execPath, [tsc, '-p', join(import.meta.dirname, 'fixtures/members', project)], { encoding: 'utf8' })
  expect(stdout).toBe('')
  expect(status).toBe(0)
}, 60_000)

test('faults, servers of the test\'s own, and commands with streams; what a test did is undone, also when its time is over', async () => {
  const report = await runTests('jest', 'handles', bench, ['--runInBand'])
  const failed = Object.entries(report.tests).filter(([, status]) => status !== 'passed').map(([name]) => name)
  expect(failed, report.output).toEqual(['FAILS: stands still until its time is over'])
  expect(Object.keys(report.tests)).toHaveLength(16)
})

test('clients that a file leaves connected are closed without a word before its containers end', async () => {
  const report = await runTests('jest', 'left', bench, ['--runInBand'])
  expect(report.failures.trim(), report.output).toBe('')
  expect([report.code, Object.values(report.tests).length]).toEqual([0, 5])
  expect(report.output).not.toMatch(/did not exit/)
})

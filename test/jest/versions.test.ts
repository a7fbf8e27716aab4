import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { openBench, openConsumer, runTests, type Bench } from './runner.js'

// Several runners, one after the other, on a busy machine.
vi.setConfig({ testTimeout: 120_000 })

let bench: Bench
let older: Bench
beforeAll(async () => {
  bench = await openBench()
  older = openConsumer(bench, 'jest29')
})
afterAll(async () => {
  await older.close()
  await bench.close()
})

test('Jest 29: pragmas, functions, blocks, exports and the user\'s own set-up', async () => {
  const report = await runTests('jest', 'main', older, ['--maxWorkers=2', '--testPathIgnorePatterns=unknown'])
  expect(report.failures.trim()).toBe('')
  expect(Object.keys(report.tests)).toHaveLength(12)
  expect(report).toMatchObject({ code: 0, output: expect.stringContaining('user teardown ran') as string })
})

test('Jest 29: the environment that is composed is of the same version', async () => {
  const report = await runTests('jest', 'jsdom', older)
  expect(report.failures.trim()).toBe('')
  expect(Object.values(report.tests)).toEqual(['passed'])
})

test('Jest 29: scopes, retries, tests at the same time, a class of fixtures', async () => {
  const report = await runTests('jest', 'members', older, ['--maxWorkers=2'])
  const failed = Object.entries(report.tests).filter(([, status]) => status !== 'passed').map(([name]) => name)
  expect(failed, report.output).toEqual(['FAILS: a variable cannot point at the instance of each', 'FAILS: and shows what its container printed'])
  expect(Object.keys(report.tests)).toHaveLength(17)
})

test('Jest 29: a shard prepares what its files name', async () => {
  const log = join(bench.directory, 'prepared.log')
  const own = { ...older, environment: { ...older.environment, PREPARED_LOG: log } }
  const report = await runTests('jest', 'selected', own, ['--shard=1/2'])
  expect([report.code, Object.keys(report.tests).length], report.output).toEqual([0, 1])
  expect(readFileSync(log, 'utf8').trim().split('\n').sort()).toEqual(report.tests['one'] === undefined ? ['unnamed'] : ['helped', 'named'])
})

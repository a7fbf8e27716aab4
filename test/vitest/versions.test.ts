import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { openBench, openConsumer, openNewest, runTests, type Bench } from '../jest/runner.js'

// Several runners, one after the other, on a busy machine.
vi.setConfig({ testTimeout: 120_000 })

process.stderr.write('not run here: a real browser, which no package brings (npm run test:consumers -- browser)\n')

let bench: Bench
let older: Bench
let newest: Bench
beforeAll(async () => {
  bench = await openBench()
  older = openConsumer(bench, 'vitest3')
  newest = openNewest(bench)
}, 180_000)
afterAll(async () => {
  await older.close()
  await newest.close()
  await bench.close()
})

test.each(['forks', 'threads'])('Vitest 3.2, %s: arguments, functions and exports', async (pool) => {
  const report = await runTests('vitest', 'main', older, [`--pool=${pool}`, '--exclude=**/unknown.case.js'])
  expect(report.failures.trim()).toBe('')
  expect(Object.values(report.tests)).toEqual(Array.from({ length: 12 }, () => 'passed'))
})

test('Vitest 3.2: members of a class, scopes, retries and tests at the same time', async () => {
  // Vitest 3.2 overlooks the options of one test where `test` was extended.
  const report = await runTests('vitest', 'members', older, ['--retry=1'])
  const failed = Object.entries(report.tests).filter(([, status]) => status !== 'passed').map(([name]) => name)
  expect(failed, report.output).toEqual(['FAILS: a variable cannot point at the instance of each'])
  expect(Object.keys(report.tests)).toHaveLength(15)
})

test('Vitest 3.2: a file\'s own tear-down comes before ours with hooks side by side', async () => {
  const report = await runTests('vitest', 'ordered', older, ['--sequence.hooks=parallel', 'order.case', 'block.case'])
  expect(report.failures.trim()).toBe('')
  expect(Object.values(report.tests)).toEqual(['passed', 'passed'])
  expect(report.output.match(/^(after .* PONG|a block had its container to the end)$/gm)).toHaveLength(6)
})

test.each(['forks', 'threads'])('Vitest 5, %s, on the Node it needs: arguments, functions and exports', async (pool) => {
  const report = await runTests('vitest', 'main', newest, [`--pool=${pool}`, '--exclude=**/unknown.case.js'])
  expect(report.failures.trim()).toBe('')
  expect(Object.values(report.tests)).toEqual(Array.from({ length: 12 }, () => 'passed'))
})

test('Vitest 5: members of a class, scopes, retries and tests at the same time', async () => {
  const report = await runTests('vitest', 'members', newest)
  const failed = Object.entries(report.tests).filter(([, status]) => status !== 'passed').map(([name]) => name)
  expect(failed, report.output).toEqual(['FAILS: a variable cannot point at the instance of each'])
  expect(Object.keys(report.tests)).toHaveLength(15)
})

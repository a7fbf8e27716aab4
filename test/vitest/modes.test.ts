import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { openBench, runTests, type Bench } from '../jest/runner.js'
import { watch } from '../jest/watching.js'

// Several runners, one after the other, on a busy machine.
vi.setConfig({ testTimeout: 120_000 })

let bench: Bench
beforeAll(async () => { bench = await openBench() })
afterAll(() => bench.close())

const passes = (count: number): string[] => Array.from({ length: count }, () => 'passed')

test('projects share one run, and a name is what the nearest configuration says', async () => {
  const report = await runTests('vitest', 'projects', bench)
  expect(report.failures.trim()).toBe('')
  expect(Object.values(report.tests)).toEqual(passes(2))
  const runs = [...report.output.matchAll(/^run (\S+)$/gm)].map((match) => match[1])
  expect([runs.length, new Set(runs).size]).toEqual([2, 1])
})

test.each(['forks', 'threads'])('isolate: false, %s: a shared module\'s handles serve whichever file uses them', async (pool) => {
  const report = await runTests('vitest', 'unisolated', bench, [`--pool=${pool}`])
  expect(report.failures.trim()).toBe('')
  expect(Object.values(report.tests)).toEqual(passes(4))
  expect(report.output.match(/shared module loaded/g)).toHaveLength(1)
  const [one = [], two = []] = [...report.output.matchAll(/kept (\w+) file (\w+) test (\w+)/g)].map((match) => match.slice(1))
  expect([one[0] === two[0], one[1] === two[1], one[2] === two[2]]).toEqual([true, false, false])
})

test('faults, servers of the test\'s own, and commands with streams; what a test did is undone, also when its time is over', async () => {
  const report = await runTests('vitest', 'handles', bench)
  const failed = Object.entries(report.tests).filter(([, status]) => status !== 'passed').map(([name]) => name)
  expect(failed, report.output).toEqual(['FAILS: stands still until its time is over'])
  expect(Object.keys(report.tests)).toHaveLength(13)
})

test('what the whole run shares is provided to those who cannot lease, and typed', async () => {
  const report = await runTests('vitest', 'provided', bench)
  expect(report.failures.trim()).toBe('')
  expect(Object.values(report.tests)).toEqual(passes(2))
  const root = join(import.meta.dirname, '../..')
  const { stdout } = spawnSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', join(import.meta.dirname, 'fixtures/provided')], { encoding: 'utf8' })
  expect(stdout).toBe('')
  // A browser has no modules of Node's.
  const bundle = readFileSync(join(root, 'packages/vitest-plugin/dist/browser.js'), 'utf8')
  expect([...bundle.matchAll(/\b(?:from|import) "([^"]+)"/g)].map((match) => match[1])).toEqual(['vitest'])
})

test('watching, the run stays warm from one re-run to the next', async () => {
  await using watched = watch('vitest', 'watched', bench, ['watch', '--no-isolate'])
  await watched.seen(/Waiting for file changes()/g, 1)
  watched.change('watched.case.js', (text) => `${text}// changed\n`)
  const ids = await watched.seen(/watching (\w+) \n/g, 2)
  expect(new Set(ids).size).toBe(1)
})

import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { openBench, runPlainly, runTests, type Bench } from '../jest/runner.js'
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

test.each(['stack', 'list', 'parallel'])('a file\'s own tear-down comes before ours, and may fail, with sequence.hooks %s', async (order) => {
  const report = await runTests('vitest', 'ordered', bench, [`--sequence.hooks=${order}`])
  const failed = Object.entries(report.tests).filter(([, status]) => status !== 'passed').map(([name]) => name)
  expect(failed, report.output).toEqual(['FAILS: a fault is left on by a test whose tear-down fails'])
  expect(Object.keys(report.tests)).toHaveLength(4)
  expect(report.output.match(/^a block had its container to the end$/gm)).toHaveLength(2)
  expect([...report.output.matchAll(/^(after .*) PONG$/gm)].map((match) => match[1])).toEqual(['after each of a block', 'after each', 'after all', 'after what a beforeAll returned'])
})

test('faults, servers of the test\'s own, and commands with streams; what a test did is undone, also when its time is over', async () => {
  const report = await runTests('vitest', 'handles', bench)
  const failed = Object.entries(report.tests).filter(([, status]) => status !== 'passed').map(([name]) => name)
  expect(failed, report.output).toEqual(['FAILS: stands still until its time is over'])
  expect(Object.keys(report.tests)).toHaveLength(14)
})

test.each(['forks', 'threads'])('clients that a file leaves connected are closed without a word before its containers end: %s', async (pool) => {
  const report = await runTests('vitest', 'left', bench, [`--pool=${pool}`])
  expect(report.failures.trim(), report.output).toBe('')
  expect([report.code, Object.values(report.tests).length], report.output).toEqual([0, 5])
})

test('what the whole run shares is provided to those who cannot lease, and typed', async () => {
  const report = await runTests('vitest', 'provided', bench)
  expect(report.failures.trim()).toBe('')
  expect(Object.values(report.tests)).toEqual(passes(2))
  const root = join(import.meta.dirname, '../..')
  const { stdout } = spawnSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', join(import.meta.dirname, 'fixtures/provided')], { encoding: 'utf8' })
  expect(stdout).toBe('')
  // A browser has no modules of Node's, so a project in one gets no set-up of ours.
  const { mayfly } = await import('@mayfly/vitest-plugin')
  const configured = (browser: object): unknown => {
    const config = { test: { browser, setupFiles: './own.js' } }
    for (const plugin of mayfly()) if (typeof plugin.config === 'function') void (plugin.config as (given: object) => unknown)(config)
    return config.test.setupFiles
  }
  expect(configured({ enabled: true })).toBe('./own.js')
  expect(configured({})).toEqual([expect.stringContaining('setup'), './own.js'])
  const bundle = readFileSync(join(root, 'packages/vitest-plugin/dist/browser.js'), 'utf8')
  expect([...bundle.matchAll(/\b(?:from|import) "([^"]+)"/g)].map((match) => match[1])).toEqual(['vitest'])
})

test('watching, the run stays warm from one re-run to the next; a changed input or configuration runs the tests again, with what changed made anew', async () => {
  await using watched = watch('vitest', 'watched', bench, ['watch', '--no-isolate'])
  await watched.seen(/Waiting for file changes()/g, 1)
  watched.change('watched.case.js', (text) => `${text}// changed\n`)
  const ids = await watched.seen(/watching (\w+) \n/g, 2)
  expect(new Set(ids).size).toBe(1)
  await watched.seen(/Waiting for file changes()/g, 2)
  watched.change('state/word.txt', () => 'two')
  expect(await watched.seen(/word (\w+) \n/g, 3)).toEqual(['one', 'one', 'two'])
  expect(new Set(await watched.seen(/watching (\w+) \n/g, 3)).size).toBe(1)
  await watched.seen(/Waiting for file changes()/g, 3)
  watched.change('mayfly.config.ts', (text) => text.replace("scope: 'worker'", "scope: 'worker', memory: '64m'"))
  expect(new Set(await watched.seen(/watching (\w+) \n/g, 4)).size).toBe(2)
})

test('starting is not charged to tests and has a limit of its own; who connects early is held', async () => {
  const report = await runTests('vitest', 'slow', bench)
  expect(report.tests).toEqual({
    'preparation and start take none of the test\'s time': 'passed',
    'a connection that came early was held': 'passed',
    // Vitest has no outcome for a test whose hook failed.
    'FAILS: starting has a limit of its own': 'skipped',
  })
  expect(report.output).toMatch(/never\.case\.js[^]*MayflyError: .*400 ms/)
})

test('images that cannot be had are one error before any test, which lists them and ends in what to do', async () => {
  const report = await runPlainly('vitest', 'offline', bench, ['run'])
  expect(report.code).toBe(1)
  expect(report.output).not.toContain('a test ran')
  const [, text = ''] = /MayflyError: ([^]*?)\n ❯/.exec(report.output) ?? []
  expect(text).toMatch(/mayfly\.config\.ts names images that cannot be had:\n {2}one: .*\n {2}two: .*\n.*Then: mayfly pull nowhere\.invalid\/one:1 nowhere\.invalid\/two:2$/)
})

test('a machine without containers fails; by MAYFLY_UNAVAILABLE=skip it skips what wants one, but not where CI is set', async () => {
  const on = (more: NodeJS.ProcessEnv): Bench => {
    const environment: NodeJS.ProcessEnv = { ...bench.environment, MAYFLY_NATIVE_PATH: '/no/such/program', ...more }
    if (more['CI'] === undefined) delete environment['CI']
    return { ...bench, environment }
  }
  const fails = await runPlainly('vitest', 'members', on({}), ['run'])
  expect([fails.code, fails.output.includes('MAYFLY_NATIVE_PATH names /no/such/program')]).toEqual([1, true])
  const refused = await runPlainly('vitest', 'members', on({ MAYFLY_UNAVAILABLE: 'skip', CI: 'true' }), ['run'])
  expect([refused.code, refused.output.includes('MAYFLY_UNAVAILABLE=skip is not heeded where CI is set')]).toEqual([1, true])
  const skips = await runTests('vitest', 'members', on({ MAYFLY_UNAVAILABLE: 'skip' }))
  expect(skips.code).toBe(0)
  expect(new Set(Object.values(skips.tests))).toEqual(new Set(['skipped']))
  expect(skips.output).toContain('mayfly: no containers here, and tests that want one are skipped')
  const jest = await runTests('jest', 'main', on({ MAYFLY_UNAVAILABLE: 'skip' }), ['--runInBand', '--testPathIgnorePatterns=unknown'])
  expect([jest.code, new Set(Object.values(jest.tests))]).toEqual([0, new Set(['pending'])])
})

test('sixteen workers on however few processors: all have their containers at the same time, and the run host stays small', async () => {
  const meeting = join(bench.directory, 'crowd')
  mkdirSync(meeting)
  // Beside the other projects, whose packages it finds.
  const project = join(import.meta.dirname, 'fixtures', `crowd-${String(process.pid)}`)
  try {
    cpSync(join(import.meta.dirname, 'fixtures/crowd'), project, { recursive: true })
    for (let nth = 2; nth <= 16; nth++) cpSync(join(project, 'one.case.js'), join(project, `${String(nth)}.case.js`))
    const own = { ...bench, environment: { ...bench.environment, MEETING_POINT: meeting } }
    const report = await runTests('vitest', `crowd-${String(process.pid)}`, own)
    expect(report.failures.trim()).toBe('')
    expect(report.output).toMatch(/Tests +32 passed \(32\)/)
    expect(new Set(readdirSync(meeting).map((slot) => readFileSync(join(meeting, slot), 'utf8'))).size).toBe(16)
    const peaks = [...report.output.matchAll(/^peak (\S+) (\d+)$/gm)].map((match) => [match[1], Number(match[2])] as const)
    expect(new Set(peaks.map(([name]) => name))).toEqual(new Set(['node', 'mayfly-native']))
    // Kilobytes. Node takes half of its share by itself.
    for (const [name, peak] of peaks) expect([name, peak < (name === 'node' ? 250_000 : 30_000), peak]).toEqual([name, true, peak])
  } finally {
    rmSync(project, { recursive: true })
  }
})

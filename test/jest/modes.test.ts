import { execFileSync, spawnSync } from 'node:child_process'
import { appendFileSync, cpSync, readFileSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { openBench, runPlainly, runTests, type Bench } from './runner.js'
import { watch } from './watching.js'

// Several runners, one after the other, on a busy machine.
vi.setConfig({ testTimeout: 120_000 })

let bench: Bench
beforeAll(async () => { bench = await openBench() })
afterAll(() => bench.close())

test('SWC, Babel and modules as they are, each project with its own environment, set-up and names', async () => {
  const own = { ...bench, environment: { ...bench.environment, NODE_OPTIONS: '--experimental-vm-modules' } }
  const report = await runTests('jest', 'many', own, ['--maxWorkers=2'])
  expect(report.failures.trim()).toBe('')
  expect(Object.values(report.tests)).toEqual(['passed', 'passed', 'passed'])
  // Equal definitions of two configurations: one instance each.
  const ids = [...report.output.matchAll(/(swc|esm) has (\w+)/g)].map((match) => match[2])
  expect([ids.length, new Set(ids).size]).toEqual([2, 2])
})

test('a pragma with a typo fails its file and says what was meant', async () => {
  const report = await runTests('jest', 'typos', bench, ['--runInBand'])
  const said = (file: string): string => {
    const text = report.output.split(/(?=FAIL )/).find((one) => one.includes(`${file}.case.js`)) ?? ''
    return /(?:The pragma|There is no pragma|Two pragmas|This test file|"httpd" has)[^]*?\n\n/.exec(text)?.[0].replace(/\s+/g, ' ').trim() ?? text
  }
  expect(said('name')).toBe('There is no pragma "@contianer" Did you mean "@container httpd"?')
  expect(said('option')).toBe('The pragma "@container httpd scop=test": "scop=test" is neither as=NAME nor scope=run|worker|file|test Did you mean "scope=test"?')
  expect(said('scope')).toBe('The pragma "@container httpd scope=tset": "scope=tset" is no scope Did you mean "scope=test"?')
  expect(said('word')).toContain('"as" is neither as=NAME nor scope=run|worker|file|test Did you mean "as=NAME"?')
  expect(said('twice')).toBe('Two pragmas "@container" are called "httpd" Name one: @container httpd as=other')
  expect(said('none')).toContain('a name is missing Such as: @container httpd')
  expect(said('wider')).toContain('"httpd" has scope file; a use cannot widen it to run')
  expect(said('environment')).toContain('This test file does not run in the environment of @mayfly/jest-env Put withMayfly() into jest.config')
  expect(Object.values(report.tests)).toEqual([])
})

test('shards are runs of their own, and --bail ends in order', async () => {
  const shards: string[] = []
  for (const nth of [1, 2]) {
    const report = await runTests('jest', 'main', bench, ['--maxWorkers=2', '--testPathIgnorePatterns=unknown', `--shard=${String(nth)}/2`])
    expect(report.code).toBe(0)
    shards.push(...Object.keys(report.tests))
  }
  expect([shards.length, new Set(shards).size]).toEqual([12, 12])
  const bailed = await runPlainly('jest', 'failing', bench, ['--bail', '--maxWorkers=2'])
  expect(bailed.code).toBe(1)
  expect(bailed.output).not.toMatch(/did not exit|open handle|ERR_MAYFLY_INTERNAL/)
})

test('watching, the run stays warm from one re-run to the next; a changed input prepares again, a changed configuration restarts what changed', async () => {
  await using watched = watch('jest', 'watched', bench, ['--watchAll', '--runInBand'])
  await watched.seen(/Ran all test suites()/g, 1)
  watched.change('watched.case.js', (text) => `${text}// changed\n`)
  const ids = await watched.seen(/watching (\w+) \n/g, 2)
  expect(new Set(ids).size).toBe(1)
  await watched.seen(/Ran all test suites()/g, 2)
  watched.change('state/word.txt', () => 'two')
  watched.change('watched.case.js', (text) => `${text}// changed again\n`)
  expect(await watched.seen(/word (\w+) \n/g, 3)).toEqual(['one', 'one', 'two'])
  expect(new Set(await watched.seen(/watching (\w+) \n/g, 3)).size).toBe(1)
  await watched.seen(/Ran all test suites()/g, 3)
  watched.change('mayfly.config.ts', (text) => text.replace("scope: 'worker'", "scope: 'worker', memory: '64m'"))
  expect(new Set(await watched.seen(/watching (\w+) \n/g, 4)).size).toBe(2)
})

test('what a run of selected files prepares is what these name, themselves or by a module of theirs', async () => {
  for (const runner of ['jest', 'vitest'] as const) {
    const log = join(bench.directory, `prepared-${runner}.log`)
    const own = { ...bench, environment: { ...bench.environment, PREPARED_LOG: log, MAYFLY_HOME: join(bench.directory, runner) } }
    const report = await runTests(runner, 'selected', own, ['one'])
    expect(report.tests, report.output).toEqual({ one: 'passed' })
    expect(readFileSync(log, 'utf8').trim().split('\n').sort()).toEqual(['helped', 'named'])
  }
})

test('so does a run of which Jest alone knows the files: a shard, what changed, what is related', async () => {
  const copy = join(import.meta.dirname, 'fixtures', `selected-${String(process.pid)}`)
  cpSync(join(import.meta.dirname, 'fixtures/selected'), copy, { recursive: true })
  const git = (...words: string[]): void => void execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@b.c', ...words], { cwd: copy })
  git('init', '-q')
  git('add', '.')
  git('commit', '-qm', 'first')
  appendFileSync(join(copy, 'helper.js'), '// changed\n')
  try {
    for (const [nth, words] of [['--shard=1/2'], ['--shard=2/2'], ['--onlyChanged'], ['--findRelatedTests', 'helper.js']].entries()) {
      const log = join(bench.directory, `prepared-${String(nth)}.log`)
      const own = { ...bench, environment: { ...bench.environment, PREPARED_LOG: log, MAYFLY_HOME: join(bench.directory, 'jest'), MAYFLY_REBUILD_SNAPSHOTS: '1' } }
      const report = await runTests('jest', basename(copy), own, words)
      expect([report.code, Object.keys(report.tests)], report.output).toEqual([0, [nth < 2 ? expect.stringMatching(/^(one|two)$/) : 'one']])
      const wanted = report.tests['one'] === undefined ? ['unnamed'] : ['helped', 'named']
      expect(readFileSync(log, 'utf8').trim().split('\n').sort(), words.join(' ')).toEqual(wanted)
    }
  } finally {
    rmSync(copy, { recursive: true })
  }
})

test('reset: \'test\' brings a worker\'s service back before every test, its server and clients living on', async () => {
  for (const runner of ['jest', 'vitest'] as const) {
    const report = await runTests(runner, 'resets', bench)
    expect(Object.values(report.tests), report.output).toEqual(['passed', 'passed', 'passed'])
  }
})

test('what died is named with its end; the summary says what ran', async () => {
  const died = await runPlainly('jest', 'failing', bench, ['died'])
  expect(died.output).toMatch(/redis \(mayfly-\w+\) DIED: its process (was ended by SIG|ended with status).*, its last log lines:\n/)
  expect(died.output).toMatch(/^Containers: 1 started\n(?: {12}.*\n)* {12}slowest to be ready: redis, [\d.]+ m?s\n/m)
})

test.each(['jest', 'vitest'] as const)('by MAYFLY_KEEP=on-failure the containers of a failed test stay, and the summary says where: %s', async (runner) => {
  const own = { ...bench, environment: { ...bench.environment, MAYFLY_KEEP: 'on-failure' } }
  const kept = await runPlainly(runner, 'failing', own, [...runner === 'vitest' ? ['run'] : [], 'failing.case'])
  const [, container = ''] = /^Kept until \d\d:\d\d: redis at redis-cli -u redis:\S+ \(ended by: mayfly stop (\S+)\)$/m.exec(kept.output) ?? []
  expect(container, kept.output).not.toBe('')
  const cli = (...args: string[]): string => spawnSync(process.execPath, [join(import.meta.dirname, '../../packages/cli/dist/main.js'), ...args], { env: own.environment, encoding: 'utf8' }).stdout
  try {
    expect(cli('exec', container, 'redis-cli', 'ping')).toBe('PONG\n')
  } finally {
    for (const one of cli('ps', '-q').split('\n').filter(id => id !== '')) cli('stop', '-t', '0', one)
  }
  expect(cli('ps', '--format', '{{.Names}}')).not.toContain(container)
})

import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { openBench, runTests, type Bench, type Report } from '../jest/runner.js'

// Each test runs several runners, one after the other.
vi.setConfig({ testTimeout: 120_000 })

let bench: Bench
let log: string
beforeAll(async () => {
  const opened = await openBench()
  log = join(opened.directory, 'prepared.log')
  bench = { ...opened, environment: { ...opened.environment, PREPARED_LOG: log } }
})
afterAll(() => bench.close())

const times = (): number => (existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n').length : 0)
const passing = (environment: NodeJS.ProcessEnv = {}): Promise<Report> =>
  runTests('vitest', 'prepared', { ...bench, environment: { ...bench.environment, ...environment } }, ['--exclude=broken.case.js'])

test('a service is prepared once, for all files, workers and runs', async () => {
  for (const runs of [1, 2]) {
    const report = await passing()
    expect(report.failures.trim()).toBe('')
    expect(Object.values(report.tests)).toEqual(['passed', 'passed', 'passed'])
    expect([runs, times()]).toEqual([runs, 1])
  }
})

test('two runs at the same time prepare it once', async () => {
  rmSync(join(bench.directory, 'home/snapshots'), { recursive: true })
  rmSync(log)
  const other = { ...bench, directory: join(bench.directory, 'other') }
  mkdirSync(other.directory)
  const reports = await Promise.all([passing(), runTests('vitest', 'prepared', other, ['--exclude=broken.case.js'])])
  expect(reports.map(({ failures }) => failures.trim())).toEqual(['', ''])
  expect(times()).toBe(1)
})

test('a damaged state is made anew, and so it is when asked for', async () => {
  rmSync(log)
  const snapshots = join(bench.directory, 'home/snapshots')
  const db = readdirSync(snapshots).find((key) => key.startsWith('db-')) ?? ''
  truncateSync(join(snapshots, db, 'tree/var/lib/postgresql/data/PG_VERSION'))
  expect((await passing()).code).toBe(0)
  expect(times()).toBe(1)
  expect((await passing({ MAYFLY_REBUILD_SNAPSHOTS: '1' })).code).toBe(0)
  expect(times()).toBe(2)
})

test('a changed input prepares again; an input that matches nothing is an error', async () => {
  rmSync(log)
  // Beside the other projects, whose packages it finds.
  const project = join(import.meta.dirname, 'fixtures', `prepared-${String(process.pid)}`)
  try {
    cpSync(join(import.meta.dirname, 'fixtures/prepared'), project, { recursive: true })
    const run = (): Promise<Report> => runTests('vitest', `prepared-${String(process.pid)}`, bench, ['one'])
    expect((await run()).code).toBe(0)
    const migration = join(project, 'migrations/1.sql')
    writeFileSync(migration, `${readFileSync(migration, 'utf8')}DELETE FROM notes WHERE text = 'note 1';\n`)
    const changed = await run()
    expect(changed.failures).toContain("expected '99' to be '100'")
    // The unchanged one has another place, but the same content: the first run made nothing.
    expect(times()).toBe(1)
    rmSync(migration)
    expect((await run()).output).toContain('which matches nothing')
  } finally {
    rmSync(project, { recursive: true })
  }
})

test('a failed preparation shows why, keeps nothing, and is tried again', async () => {
  const report = await runTests('vitest', 'prepared', bench, ['broken'])
  expect(report.code).toBe(1)
  expect(report.output).toContain('"broken" could not be prepared: "echo the reason; exit 3" ended with status 3:\nthe reason')
  expect(report.output).toContain('Redis is starting')
  expect(readdirSync(join(bench.directory, 'home/snapshots')).filter((key) => key.startsWith('broken'))).toEqual([])
})

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test, vi } from 'vitest'
import { MayflyError } from '../../src/errors.js'
import { addressAt, externalUrl, externalVariable } from '../../src/services/external/index.js'
import { createJournal, type Event } from '../../src/services/journal.js'
import { keepFor } from '../../src/services/keep.js'
import { reasonToSkip } from '../../src/services/launch.js'
import { httpd, image, kafka, mariadb, postgres } from '../../src/services/presets/index.js'
import { describeRun } from '../../src/services/summary.js'

afterEach(() => { vi.restoreAllMocks() })

const ready = (from: 'image' | 'snapshot' | 'pool', name: string, ms: number): Event =>
  ({ event: 'ready', name, slot: 1, image: 'redis:7', container: 'c', from, ms, host: '198.18.0.1', ports: { 6379: 6379 } })

test('a run in figures, in one quiet block', () => {
  const journal = createJournal({})
  for (const event of [ready('image', 'db', 812), ready('snapshot', 'db', 41), ready('pool', 'db', 2), ready('pool', 'cache', 1)]) journal.note(event)
  journal.note({ event: 'image', image: 'redis:7', digest: 'd', from: 'registry', origin: 'o', ms: 5, bytes: 3 * 2 ** 20 })
  journal.note({ event: 'ended', name: 'db', slot: 1, exit: { code: 1, signal: undefined, oomKilled: false }, stopped: false })
  // What a test stops has not died.
  journal.note({ event: 'ended', name: 'db', slot: 1, exit: { code: 0, signal: undefined, oomKilled: false }, stopped: true })
  expect(describeRun(journal.summary())).toBe(`Containers: 1 started, 1 cloned, 2 from the pool
            1 pulled (3.0 MiB), 1 died
            slowest to be ready: db, 812 ms
`)
  expect(describeRun(createJournal({}).summary())).toBe('')
})

test.each([
  ['mayfly*', true], ['mayfly:*', true], ['mayfly:ready', true], ['*', true], ['other,mayfly', true], ['mayfly:reset', false], ['mayfly*,-mayfly:ready', false], ['express', false], ['', false],
])('DEBUG=%s', (text, told) => {
  const write = vi.spyOn(process.stderr, 'write').mockReturnValue(true)
  createJournal({ DEBUG: text }).note(ready('pool', 'db', 2))
  expect(write.mock.calls.map(([line]) => line)).toEqual(told ? ['mayfly:ready db for slot 1 from pool in 2 ms at 198.18.0.1 (6379=6379)\n'] : [])
})

test('events go to a file, a line of JSON each', () => {
  const directory = mkdtempSync(join(tmpdir(), 'mf-journal-'))
  try {
    createJournal({ MAYFLY_TRACE_FILE: join(directory, 'trace') }).note(ready('pool', 'db', 2))
    expect(JSON.parse(readFileSync(join(directory, 'trace'), 'utf8'))).toEqual(ready('pool', 'db', 2))
  } finally {
    rmSync(directory, { recursive: true })
  }
})

test('MAYFLY_UNAVAILABLE=skip skips for what a machine lacks, is refused in CI, and hides no other error', () => {
  const lacking = new MayflyError('ERR_MAYFLY_UNPRIVILEGED', 'No user namespaces', { hint: 'Allow them.' })
  expect(reasonToSkip(lacking, { MAYFLY_UNAVAILABLE: 'skip' })).toBe('No user namespaces')
  expect(() => reasonToSkip(lacking, { MAYFLY_UNAVAILABLE: 'skip', CI: 'true' })).toThrow(/not heeded where CI is set/)
  expect(() => reasonToSkip(lacking, {})).toThrow(/mayfly doctor/)
  const wrong = new MayflyError('ERR_MAYFLY_CONFIG_INVALID', 'x')
  expect(() => reasonToSkip(wrong, { MAYFLY_UNAVAILABLE: 'skip' })).toThrow(wrong)
})

test('how long containers of failed tests stay', () => {
  expect([keepFor({}), keepFor({ MAYFLY_KEEP: 'on-failure' }), keepFor({ MAYFLY_KEEP: 'on-failure:10m' })]).toEqual([undefined, 3600_000, 600_000])
  expect(() => keepFor({ MAYFLY_KEEP: 'always' })).toThrow(expect.objectContaining({ code: 'ERR_MAYFLY_OPTION_INVALID' }))
})

test('only its own variable or option puts a service elsewhere', () => {
  const db = postgres({ exports: { DATABASE_URL: pg => pg.url } })
  expect(externalVariable('my-db')).toBe('MAYFLY_EXTERNAL_MY_DB')
  expect(externalUrl('db', db, { DATABASE_URL: 'postgres://dev@localhost/dev', TEST_DATABASE_URL: 'postgres://x/y' })).toBeUndefined()
  expect(externalUrl('db', db, { MAYFLY_EXTERNAL_DB: 'postgres://a/b' })).toBe('postgres://a/b')
  expect(externalUrl('db', postgres({ external: '' }), {})).toBeUndefined()
})

test('an address elsewhere gives the preset\'s facts', () => {
  expect(addressAt(postgres({ exports: { URL: pg => pg.url } }), 'postgres://me:p%40@h:6000/app')).toEqual({
    host: 'h', ports: { 5432: 6000 }, exports: { URL: 'postgres://me:p%40@h:6000/app' },
    facts: { url: 'postgres://me:p%40@h:6000/app', user: 'me', password: 'p@', database: 'app' },
  })
  expect(addressAt(mariadb(), 'mysql://root:x@h/app')).toMatchObject({ ports: { 3306: 3306 }, facts: { rootPassword: 'x' } })
  expect(addressAt(httpd(), 'https://h/')).toMatchObject({ ports: { 80: 443 }, facts: { url: 'https://h' } })
  expect(addressAt(kafka(), 'kafka://h:9094')).toMatchObject({ facts: { bootstrap: 'h:9094' } })
  expect(addressAt(image('team/own:1'), 'http://h:1/x')).toMatchObject({ host: 'h', facts: {} })
})

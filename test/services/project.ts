import { mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createHandle, launchRun, openSession, type LaunchedRun, type Session, type Use } from '@mayfly/core/plugin'
import type { Container } from '@mayfly/core'
import { afterAll, beforeAll } from 'vitest'
import { openPlace, type Place } from '../place.js'

/** A project with a configuration, in this repository so that it finds its packages, and a run of it. */
export interface TestRun {
  readonly run: LaunchedRun
  /** Where the configuration lies. */
  readonly directory: string
  /** What MAYFLY_TRACE_FILE got so far. */
  events(): readonly Readonly<Record<string, unknown>>[]
  /** A test file's session. */
  session(file: string, slot?: number): Session
  close(): Promise<void>
}

/** A run for all tests of a file, in a place of its own. */
export function useRun(config: string, options: RunOptions = {}): TestRun & { readonly place: Place } {
  const opened: { place?: Place; run?: TestRun } = {}
  const place = (): Place => opened.place ?? early()
  const run = (): TestRun => opened.run ?? early()
  beforeAll(async () => {
    opened.place = await openPlace()
    opened.run = await openRun(config, options)
  })
  afterAll(async () => {
    await opened.run?.close()
    await opened.place?.close()
  })
  return {
    get place() { return place() },
    get run() { return run().run },
    get directory() { return run().directory },
    events: () => run().events(),
    session: (file, slot) => run().session(file, slot),
    close: () => run().close(),
  }
}

function early(): never {
  throw new Error('The run is there once the tests begin')
}

interface RunOptions {
  readonly slots?: number
  /** Of files beside the configuration. */
  readonly files?: Readonly<Record<string, string>>
  readonly watching?: boolean
  readonly ahead?: boolean
  /** Names of the test files that were selected. */
  readonly selected?: readonly string[]
}

/** `config` is the text of mayfly.config.ts. */
export async function openRun(config: string, { slots = 2, files = {}, selected, ...options }: RunOptions = {}): Promise<TestRun> {
  const directory = projectDirectory(config, files)
  const trace = join(directory, 'trace')
  const before = process.env['MAYFLY_TRACE_FILE']
  process.env['MAYFLY_TRACE_FILE'] = trace
  try {
    const run = await launchRun({ directories: [directory], slots, files: selected?.map(name => join(directory, name)), ...options })
    const sessions: Session[] = []
    return {
      run, directory,
      events: () => readFileSync(trace, 'utf8').trim().split('\n').map(line => JSON.parse(line) as Record<string, unknown>),
      session: (file, slot = 1) => {
        const session = openSession(run.address, join(directory, file), slot)
        sessions.push(session)
        return session
      },
      close: async () => {
        await Promise.all(sessions.map(session => session.close().catch(() => undefined)))
        await run.close()
        rmSync(directory, { recursive: true, force: true })
      },
    }
  } catch (error) {
    rmSync(directory, { recursive: true, force: true })
    throw error
  } finally {
    if (before === undefined) delete process.env['MAYFLY_TRACE_FILE']
    else process.env['MAYFLY_TRACE_FILE'] = before
  }
}

export function projectDirectory(config: string, files: Readonly<Record<string, string>> = {}): string {
  const directory = realpathSync(mkdtempSync(join(import.meta.dirname, 'fixtures', 'project-')))
  writeFileSync(join(directory, 'mayfly.config.ts'), config)
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text)
  return directory
}

/** Leases, and gives the handle a test would have. */
export async function take<C extends Container>(session: Session, use: Use): Promise<C & { readonly lease: Awaited<ReturnType<Session['lease']>> }> {
  const lease = await session.lease(use)
  const handle = createHandle(use.as ?? use.name, { lease: () => lease, address: () => undefined })
  return new Proxy(handle, { get: (target, key) => key === 'lease' ? lease : Reflect.get(target, key) as unknown }) as never
}

import { createFileLeases, knownAddresses, MayflyError, openSession, tooLate, type FileLeases, type Lease, type RunAddress, type Session, type Use } from '@mayfly/core/worker'
import { beforeEach, expect } from 'vitest'

/** What one test file has of its run: a session, opened when first used, and the leases its parts share. */
export interface TestFile extends FileLeases {
  readonly path: string
  readonly session: Session
  /** The session, if there is one yet. */
  readonly opened: Session | undefined
  readonly known: ReturnType<typeof knownAddresses>
  /** Why there are no containers here. */
  readonly unavailable: string | undefined
  /** Tests that run at the moment. */
  readonly running: Set<object>
  /** Whether its hooks and tests have begun: what they are to have must be known before. */
  begun: boolean
  lease(name: string): Lease | undefined
  close(): Promise<void>
}

/** On the global object: the set-up file and the tests may have been loaded by different ways. */
const FILES = Symbol.for('mayfly.vitest.files')

function files(): Map<string, TestFile> {
  const shared = globalThis as { [FILES]?: Map<string, TestFile> }
  return (shared[FILES] ??= new Map())
}

/** The file whose tests are collected or run here. Throws ERR_MAYFLY_NOT_STARTED where the plugin's set-up file has not run. */
export function currentFile(): TestFile {
  return openedFile() ?? noRun()
}

/** The file for a part of it that wants containers by `what`: where there are none, the part's tests are skipped. Throws ERR_MAYFLY_NOT_STARTED when its tests have begun. */
export function fileWithContainers(what: string): TestFile {
  const file = currentFile()
  if (file.begun) throw tooLate(what)
  const { unavailable } = file
  if (unavailable !== undefined) beforeEach(({ skip }) => skip(`no containers here: ${unavailable}`))
  return file
}

/** The same, or undefined outside of tests. */
export function openedFile(): TestFile | undefined {
  return files().get(expect.getState().testPath ?? '')
}

/** Called by the set-up file, anew for every test file. */
export function openFile(run: RunAddress | undefined, path: string, slot: number): TestFile {
  let opened: Session | undefined
  const session = (): Session => (opened ??= openSession(run ?? noRun(), path, slot))
  const leases = createFileLeases(session)
  const file: TestFile = {
    ...leases,
    path,
    known: run === undefined ? {} : knownAddresses(run, path, slot),
    unavailable: run?.unavailable,
    running: new Set(),
    begun: false,
    get session() { return session() },
    get opened() { return opened },
    lease: name => leases.held().find(([held]) => held === name)?.[1],
    close: async () => {
      files().delete(path)
      await opened?.close()
    },
  }
  files().set(path, file)
  return file
}

/**
 * A lease for a file that uses a handle which another file's loading made: with `isolate: false` modules are shared. Held
 * until the file ends.
 */
export function borrow(maker: TestFile, use: Use): Promise<Lease> | undefined {
  const here = openedFile()
  if (here === undefined || here.path === maker.path) return undefined
  const there = here.lease(use.as ?? use.name)
  return there === undefined ? here.hold(use) : Promise.resolve(there)
}

function noRun(): never {
  throw new MayflyError('ERR_MAYFLY_NOT_STARTED', 'This test file does not belong to a run of Mayfly\'s. Add mayfly() to the plugins in vitest.config, and in every project that does not extend it.')
}

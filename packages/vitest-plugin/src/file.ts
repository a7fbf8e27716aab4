import { createFileLeases, currentRun, knownAddresses, MayflyError, openSession, type FileLeases, type Session } from '@mayfly/core/plugin'
import { afterAll, expect } from 'vitest'

/** What one test file has of its run: a session, opened when first used, and the leases its parts share. */
export interface TestFile extends FileLeases {
  readonly session: Session
  readonly known: ReturnType<typeof knownAddresses>
}

const files = new Map<string, TestFile>()

/** The file that is being collected. */
export function currentFile(): TestFile {
  const path = expect.getState().testPath ?? process.cwd()
  const there = files.get(path)
  if (there !== undefined) return there
  const { file, close } = openFile(path)
  files.set(path, file)
  // Registered first, so run after every other tear-down of the file.
  afterAll(async () => {
    files.delete(path)
    await close()
  }, 0)
  return file
}

function openFile(path: string): { file: TestFile; close: () => Promise<void> } {
  const run = currentRun()
  let opened: Session | undefined
  const session = (): Session => (opened ??= openSession(run ?? noRun(), path, slotHere()))
  const known = run === undefined ? {} : knownAddresses(run, path, slotHere())
  return {
    file: { ...createFileLeases(session), known, get session() { return session() } },
    close: async () => await opened?.close(),
  }
}

function noRun(): never {
  throw new MayflyError('ERR_MAYFLY_NOT_STARTED', 'This test run has no run host', {
    hint: 'Add mayfly() to the plugins in vitest.config.',
  })
}

/** The worker's slot. */
function slotHere(): number {
  return Number(process.env['VITEST_POOL_ID'] ?? 1)
}

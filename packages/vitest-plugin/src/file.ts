import { currentRun, knownAddresses, MayflyError, openSession, type Lease, type Session, type Use } from '@mayfly/core/plugin'
import { afterAll, expect } from 'vitest'

/** What one test file has of its run: a session, opened when first used, and the leases it shares by name. */
export interface TestFile {
  readonly session: Session
  readonly known: ReturnType<typeof knownAddresses>
  /** Leases once for all who ask for the same name in this file. */
  hold(use: Use): Promise<Lease>
  /** Given back when the last who held it lets it go. */
  letGo(use: Use): Promise<void>
  /** A name for a further instance of a service: the service's own the first time. */
  nameFor(name: string, key: string): string
}

const files = new Map<string, TestFile>()

/** The file that is being collected. */
export function currentFile(): TestFile {
  const path = expect.getState().testPath ?? process.cwd()
  const there = files.get(path)
  if (there !== undefined) return there
  const opened = openFile(path)
  files.set(path, opened)
  // Registered first, so run after every other tear-down of the file.
  afterAll(async () => {
    files.delete(path)
    await opened.session.close()
  }, 0)
  return opened
}

function openFile(path: string): TestFile {
  const run = currentRun()
  const held = new Map<string, { readonly lease: Promise<Lease>; users: number }>()
  const named = new Set<string>()
  let session: Session | undefined
  return {
    get session() {
      session ??= openSession(run ?? noRun(), path, slotHere())
      return session
    },
    known: run === undefined ? {} : knownAddresses(run, path, slotHere()),
    hold(use) {
      const name = use.as ?? use.name
      const shared = held.get(name) ?? { lease: this.session.lease(use), users: 0 }
      shared.users += 1
      held.set(name, shared)
      return shared.lease
    },
    async letGo(use) {
      const name = use.as ?? use.name
      const shared = held.get(name)
      if (shared === undefined) return
      shared.users -= 1
      if (shared.users > 0) return
      held.delete(name)
      // One that never started has nothing to give back, and has told its test.
      await (await shared.lease.catch(() => undefined))?.giveBack()
    },
    nameFor: (name, key) => {
      if (named.has(name)) return key
      named.add(name)
      return name
    },
  }
}

function noRun(): never {
  throw new MayflyError('ERR_MAYFLY_NOT_STARTED', 'This test run has no run host', {
    hint: 'Add mayfly() to the plugins in vitest.config.',
  })
}

/** The worker's slot. */
export function slotHere(): number {
  return Number(process.env['VITEST_POOL_ID'] ?? 1)
}

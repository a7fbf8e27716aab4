import { shownError, tooLate } from '@mayfly/core/worker'
import { SESSION, type FileSession } from './session.js'

/** Longer than any start: starting has a time limit of its own, never the test's. */
export const NO_LIMIT = 2 ** 31 - 1

type Hook = (hook: () => Promise<void>, timeout: number) => void

/** Jest's globals of the file that is being loaded. */
export interface JestGlobals {
  readonly beforeAll: Hook
  readonly beforeEach: Hook
  readonly test: JestTest
}

export interface JestTest {
  (title: string, body: () => Promise<void>, timeout?: number): void
  readonly only: JestTest
  readonly skip: JestTest
  readonly failing: JestTest
  readonly concurrent: JestTest
  each(table: readonly unknown[]): (title: string, body: (...row: readonly unknown[]) => Promise<void>, timeout?: number) => void
  todo(title: string): void
}

export function jestGlobals(): JestGlobals {
  return globalThis as unknown as JestGlobals
}

/** For `what` a file wants containers by. Throws ERR_MAYFLY_NOT_STARTED when its tests have begun. */
export function ensureInTime({ tests }: FileSession, what: string): void {
  if (tests.begun) throw tooLate(what)
}

export function currentSession(): FileSession {
  const session = (globalThis as { [SESSION]?: FileSession })[SESSION]
  if (session !== undefined) return session
  throw shownError('ERR_MAYFLY_NOT_STARTED', 'This test file does not run in the environment of @mayfly/jest-env', {
    hint: 'Put withMayfly() into jest.config, or "@jest-environment @mayfly/jest-env" at the top of the file. Under withMayfly() a file chooses another environment by @jest-environment-options {"mayfly":{"environment":"jsdom"}}.',
  })
}

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

/** The file's session for a part of it that wants containers by `what`. Throws ERR_MAYFLY_NOT_STARTED when its tests have begun. */
export function sessionFor(what: string): FileSession {
  const session = currentSession()
  if (session.tests.begun) throw tooLate(what)
  return session
}

export function currentSession(): FileSession {
  const session = (globalThis as { [SESSION]?: FileSession })[SESSION]
  if (session !== undefined) return session
  throw shownError('ERR_MAYFLY_NOT_STARTED', 'This test file does not run in the environment of @mayfly/jest-env', {
    hint: 'Put withMayfly() into jest.config, or "@jest-environment @mayfly/jest-env" at the top of the file. Under withMayfly() a file chooses another environment by @jest-environment-options {"mayfly":{"environment":"jsdom"}}.',
  })
}

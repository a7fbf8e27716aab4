import { testMembers, type TestContainer } from '@mayfly/core/worker'
import { currentSession, ensureInTime, jestGlobals, NO_LIMIT } from './hooks.js'

/**
 * An instance of a class whose members `@container(…)` decorates: static ones are there for the file, the others anew
 * for each test. Call it at the top of a file, or in a `describe`.
 */
export function fixtures<T extends object>(Class: new () => T): T {
  const session = currentSession()
  ensureInTime(session, 'fixtures()')
  const { tests } = session
  const instance = new Class()
  const members = testMembers<TestContainer>(instance)
  // Taken back when the test is done, after its failure has told what they printed.
  jestGlobals().beforeEach(() => tests.begin(members), NO_LIMIT)
  return instance
}

import type { MayflyError } from '../errors.js'
import type { Address } from './address.js'
import type { Lease, Session, Use } from './client.js'
import type { TestMember } from './decorator.js'
import { createHandle } from './handle.js'
import { uniqueName } from './unique.js'
import { shownError } from './wire.js'

/** A container that each test has for itself, behind one handle that means the running test's. */
export interface TestContainer extends TestMember {
  /** Leases one for a test, known by any object of its own. */
  begin(test: object, session: Session, concurrent: boolean): Promise<void>
  /** The running test's. Throws ERR_MAYFLY_OPTION_INVALID where several run at the same time. */
  current(): Lease | undefined
  /** What the test holds, to be asked for its log. */
  held(test: object): Lease | undefined
  end(test: object): Promise<void>
}

/** One member of a fixtures class, or one fixture, called `key`. `known` is the address before any lease, of a service that has one. */
export function createTestContainer(key: PropertyKey, use: Use, known: () => Address | undefined): TestContainer {
  const leases = new Map<object, Lease>()
  const name = String(key)
  const current = (): Lease | undefined => {
    if (leases.size > 1) throw severalTests(name)
    return leases.values().next().value
  }
  const hint = `"${name}" is one per test: read it inside a test or in beforeEach, or make it static to have one for the file. Concurrent tests take it as an argument, by withContainers.`
  return {
    key,
    current,
    handle: createHandle(name, { lease: current, address: known, hint }),
    begin: async (test, session, concurrent) => {
      const attempt = attemptOf(test)
      attempt.users += 1
      try {
        leases.set(test, await session.lease({ ...use, test: { id: attempt.id, concurrent } }))
      } catch (error) {
        leave(test, attempt)
        throw error
      }
    },
    held: test => leases.get(test),
    end: async test => {
      const lease = leases.get(test)
      leases.delete(test)
      if (lease !== undefined) leave(test, attemptOf(test))
      if (lease?.grant.scope === 'test') await lease.giveBack()
    },
  }
}

interface Attempt {
  readonly id: string
  users: number
}

const ATTEMPTS = new WeakMap<object, Attempt>()

/** All that one attempt at a test takes belongs together; a retry has the same test and is another attempt. */
function attemptOf(test: object): Attempt {
  const attempt = ATTEMPTS.get(test) ?? { id: uniqueName(), users: 0 }
  ATTEMPTS.set(test, attempt)
  return attempt
}

function leave(test: object, attempt: Attempt): void {
  attempt.users -= 1
  if (attempt.users === 0) ATTEMPTS.delete(test)
}

function severalTests(name: string): MayflyError {
  return shownError('ERR_MAYFLY_OPTION_INVALID', `"${name}" is one per test, and several tests run at the same time`, {
    hint: 'Concurrent tests take their containers as an argument: withContainers(…)(\'title\', async ({ db }) => …).',
  })
}

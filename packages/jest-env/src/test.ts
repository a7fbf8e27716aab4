import { MayflyError, type Handle, type Name, type Scope } from '@mayfly/core/plugin'
import { SESSION, type FileSession } from './session.js'

/** Longer than any start: starting has a time limit of its own, never the test's. */
const NO_LIMIT = 2 ** 31 - 1

/**
 * A container for this file, or for the enclosing `describe`: a service of the configuration, a preset, or an image.
 * Ready before any later `beforeAll` of its block. One named in a `@container` pragma is that one.
 */
export function container<const N extends Name>(
  name: N,
  options: { readonly as?: string; readonly scope?: Scope } = {},
): Handle<N> {
  const session = currentSession()
  const as = options.as ?? name
  if (session.leased(as) === undefined) {
    const { beforeAll, afterAll } = globalThis as unknown as Hooks
    beforeAll(async () => void (await session.lease({ name, ...options })), NO_LIMIT)
    afterAll(() => session.release(as), NO_LIMIT)
  }
  return session.handle(as) as Handle<N>
}

interface Hooks {
  beforeAll(hook: () => Promise<void>, timeout: number): void
  afterAll(hook: () => Promise<void>, timeout: number): void
}

function currentSession(): FileSession {
  const session = (globalThis as { [SESSION]?: FileSession })[SESSION]
  if (session !== undefined) return session
  throw new MayflyError('ERR_MAYFLY_NOT_STARTED', 'This test file does not run in the environment of @mayfly/jest-env', {
    hint: 'Put withMayfly() into jest.config, or "@jest-environment @mayfly/jest-env" at the top of the file.',
  })
}

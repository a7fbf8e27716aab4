import type { Lease, Use } from '@mayfly/core/plugin'

/** Under this symbol a test's global carries its file's session. The symbol is the same in every realm. */
export const SESSION = Symbol.for('mayfly.jest.session')

/** What the environment gives to the test's side. */
export interface FileSession {
  lease(use: Use): Promise<Lease>
  leased(name: string): Lease | undefined
  release(name: string): Promise<void>
  handle(name: string): object
}

import type { FileLeases, Listening, Reached, Scope, TestContainer, Use } from '@mayfly/core/worker'

/** Under this symbol a test's global carries its file's session. The symbol is the same in every realm. */
export const SESSION = Symbol.for('mayfly.jest.session')

/** What the environment gives to the test's side. */
export interface FileSession extends FileLeases {
  /** Makes ready what a later lease needs. Answers the scope of the use. */
  prepare(use: Use): Promise<Scope>
  /** The handle of a name held by the file; else what the running test has of `own`. */
  handle(name: string, own?: TestContainer): object
  /** Whether a pragma already names it. */
  declared(name: string): boolean
  /** A container that each test has for itself. */
  perTest(key: PropertyKey, use: Use): TestContainer
  /** Until the running test is over; without one, until the file is. */
  reach(server: Listening): Promise<Reached>
  readonly tests: TestLeases
}

/** What tests hold, each for itself. */
export interface TestLeases {
  /** Whether the file's hooks and tests have begun: what they are to have must be known before. */
  readonly begun: boolean
  /** Whether a test runs. */
  readonly running: boolean
  /** Called in a beforeAll, for when its block is over: Jest runs afterAlls in the order of the file, and later ones still use containers. */
  afterBlock(work: () => Promise<void>): void
  /** Leases for the running test. */
  begin(members: readonly TestContainer[]): Promise<void>
  /** Leases before a test with this body begins; its time is not counted then. */
  need(body: object, members: readonly TestContainer[]): void
  /**
   * The test a body belongs to, once its leases are there; `done` is called after the body. Leases now where Jest did
   * not announce it: rows of `each`, and concurrent tests before Jest 30.
   */
  of(body: object, members: readonly TestContainer[]): Promise<{ readonly test: object; done(): Promise<void> }>
}

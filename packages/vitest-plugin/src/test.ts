import { createHandle, currentRun, describeContainers, knownAddresses, MayflyError, openSession, type Handle, type Lease, type Name, type Scope, type Session } from '@mayfly/core/plugin'
import { afterAll, afterEach, beforeAll, expect, type TestAPI } from 'vitest'

export interface UseOptions {
  readonly as?: string
  readonly scope?: Scope
}

/**
 * A container for this file, or for the enclosing `describe`: a service of the configuration, a preset, or an image.
 * Ready before later `beforeAll`s; its start has a time limit of its own, never the test's.
 */
export function container<const N extends Name>(name: N, options: UseOptions = {}): Handle<N> {
  let lease: Lease | undefined
  let session: Session | undefined
  const file = expect.getState().testPath ?? process.cwd()
  const known = addressesOf(file)
  // 0: no limit.
  beforeAll(async () => {
    session = openSession(runHere(), file, slotHere())
    lease = await session.lease({ name, ...options })
  }, 0)
  afterEach(({ task }) => explain(task.result, options.as ?? name, lease), 0)
  // Vitest 4 and later name the suite second, and want a pattern first.
  // eslint-disable-next-line no-empty-pattern
  afterAll(async ({}: object, suite?: { readonly result?: TaskResult }) => {
    await explain(suite?.result, options.as ?? name, lease)
    lease = undefined
    await session?.close()
  }, 0)
  return createHandle(name, { lease: () => lease, address: () => known[options.as ?? name] }) as Handle<N>
}

/** `base` with containers as fixtures: each key is an argument of the test, each value a name. */
export function withContainers<C, const M extends Readonly<Record<string, Name>>>(
  base: TestAPI<C>,
  map: M,
): TestAPI<C & { [K in keyof M]: Handle<M[K]> }> {
  const handles = Object.entries(map).map(([key, name]) => [key, container(name)] as const)
  const fixtures = Object.fromEntries(handles.map(([key, handle]) => [key, [fixtureOf(handle), { scope: 'test' }]]))
  return base.extend(fixtures as never) as never
}

function fixtureOf(handle: object): unknown {
  // Vitest reads the parameter's pattern: it must be an object pattern.
  // eslint-disable-next-line no-empty-pattern
  return async ({}: object, use: (value: object) => Promise<void>): Promise<void> => {
    await use(handle)
  }
}

/** Puts what a container said into the error of whatever failed while it was held. */
async function explain(result: TaskResult | undefined, name: string, lease: Lease | undefined): Promise<void> {
  const error = result?.state === 'fail' ? result.errors?.at(-1) : undefined
  if (error !== undefined && lease !== undefined) error.message += await describeContainers([[name, lease]])
}

interface TaskResult {
  readonly state: string
  readonly errors?: { message: string }[] | undefined
}

function addressesOf(file: string): ReturnType<typeof knownAddresses> {
  const run = currentRun()
  return run === undefined ? {} : knownAddresses(run, file, slotHere())
}

function runHere(): NonNullable<ReturnType<typeof currentRun>> {
  const run = currentRun()
  if (run !== undefined) return run
  throw new MayflyError('ERR_MAYFLY_NOT_STARTED', 'This test run has no run host', {
    hint: 'Add mayfly() to the plugins in vitest.config.',
  })
}

function slotHere(): number {
  return Number(process.env['VITEST_POOL_ID'] ?? 1)
}

import { asDecorator, createHandle, createTestContainer, type ContainerDecorator, type Handle, type Lease, type Name, type Scope, type TestContainer, type Use } from '@mayfly/core/plugin'
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest'
import { explain, type TaskResult } from './explain.js'
import { currentFile, type TestFile } from './file.js'

export interface UseOptions {
  readonly as?: string
  readonly scope?: Scope
}

/**
 * A container for this file, or for the enclosing `describe`: a service of the configuration, a preset, or an image.
 * Ready before later `beforeAll`s; its start has a time limit of its own, never the test's. Applied to a member of a
 * class for `fixtures()`, a static one is for the file and any other for each test.
 */
export function container<const N extends Name>(name: N, options: UseOptions = {}): Handle<N> & ContainerDecorator<Handle<N>> {
  const file = currentFile()
  const use = { name, ...options }
  const own = createTestContainer(options.as ?? name, use, () => file.known[options.as ?? name])
  const whole = blockContainer(file, use, own)
  const perTest = (key: PropertyKey): TestContainer => {
    whole.cancel()
    const as = options.as ?? file.nameFor(name, String(key))
    return createTestContainer(key, { scope: 'test', ...use, as }, () => file.known[as])
  }
  return asDecorator(whole.handle as Handle<N>, { file: whole.handle, perTest })
}

/** A container of the enclosing block, unless cancelled. */
export interface BlockContainer {
  readonly handle: object
  /** Known once the block has begun. With scope `test` the block has none. */
  scope(): Scope | undefined
  cancel(): void
}

/** Leases for the enclosing block; or, with scope `test`, for each of its tests what `own` is. */
export function blockContainer(file: TestFile, use: Use, own?: TestContainer): BlockContainer {
  const name = use.as ?? use.name
  let lease: Lease | undefined
  let scope: Scope | undefined
  let wanted = true
  // 0: no limit. Images are fetched and services started outside the tests' own time.
  beforeAll(async () => {
    if (!wanted) return
    scope = await file.session.prepare(use)
    if (scope !== 'test') lease = await file.hold(use)
  }, 0)
  if (own !== undefined) {
    beforeEach(async ({ task }) => {
      if (scope === 'test') await own.begin(task, file.session, task.concurrent === true)
    }, 0)
  }
  const held = (task?: object): [string, Lease][] => {
    const current = (task === undefined ? undefined : own?.held(task)) ?? lease
    return current === undefined ? [] : [[name, current]]
  }
  afterEach(async ({ task }) => {
    await explain(task.result, held(task))
    await own?.end(task)
  }, 0)
  // Vitest 4 and later name the suite second, and want a pattern first.
  // eslint-disable-next-line no-empty-pattern
  afterAll(async ({}: object, suite?: { readonly result?: TaskResult }) => {
    await explain(suite?.result, held())
    lease = undefined
    if (wanted && scope !== 'test') await file.letGo(use)
  }, 0)
  return {
    handle: createHandle(name, { lease: () => lease ?? own?.current(), address: () => file.known[name] }),
    scope: () => scope,
    cancel: () => void (wanted = false),
  }
}

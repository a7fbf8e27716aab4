import { asDecorator, createHandle, createTestContainer, type ContainerDecorator, type Handle, type Lease, type Name, type Scope, type TestContainer, type Use } from '@mayfly/core/plugin'
import { afterAll, afterEach, beforeAll } from 'vitest'
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
  const whole = fileContainer(file, use)
  const perTest = (key: PropertyKey): TestContainer => {
    whole.cancel()
    const as = options.as ?? file.nameFor(name, String(key))
    return createTestContainer(key, { scope: 'test', ...use, as }, () => file.known[as])
  }
  return asDecorator(whole.handle as Handle<N>, { file: whole.handle, perTest })
}

/** A container of the enclosing block, unless cancelled or not wanted when the block begins. */
export function fileContainer(file: TestFile, use: Use, needed?: () => Promise<boolean>): { readonly handle: object; cancel(): void } {
  const name = use.as ?? use.name
  let lease: Lease | undefined
  let wanted = true
  // 0: no limit.
  beforeAll(async () => {
    wanted &&= (await needed?.()) ?? true
    if (wanted) lease = await file.hold(use)
  }, 0)
  const held = (): [string, Lease][] => (lease === undefined ? [] : [[name, lease]])
  afterEach(({ task }) => explain(task.result, held()), 0)
  // Vitest 4 and later name the suite second, and want a pattern first.
  // eslint-disable-next-line no-empty-pattern
  afterAll(async ({}: object, suite?: { readonly result?: TaskResult }) => {
    await explain(suite?.result, held())
    lease = undefined
    if (wanted) await file.letGo(use)
  }, 0)
  return {
    handle: createHandle(name, { lease: () => lease, address: () => file.known[name] }),
    cancel: () => void (wanted = false),
  }
}

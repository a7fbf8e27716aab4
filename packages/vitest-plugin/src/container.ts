import { asDecorator, callerOf, createHandle, createTestContainer, thrownAt, type Caller, type ContainerDecorator, type Handle, type Name, type Scope, type TestContainer, type Use } from '@mayfly/core/worker'
import { beforeAll, beforeEach } from 'vitest'
import { endTheirs, explain } from './explain.js'
import { borrow, fileWithContainers, openedFile, type TestFile } from './file.js'
import { finallyAll } from './finally.js'

export interface UseOptions {
  /** A name of its own: a further instance of the same service. */
  readonly as?: string
  /** Narrower than the service's own. */
  readonly scope?: Scope
}

/**
 * A container for this file, or for the enclosing `describe`: a service of the configuration, a preset, or an image.
 * Ready before later `beforeAll`s; its start has a time limit of its own, never the test's. Applied to a member of a
 * class for `fixtures()`, a static one is for the file and any other for each test.
 */
export function container<const N extends Name>(name: N, options: UseOptions = {}): Handle<N> & ContainerDecorator<Handle<N>> {
  const file = fileWithContainers(`container('${name}')`)
  const use = { name, ...options }
  const own = createTestContainer(options.as ?? name, use, () => file.known[options.as ?? name])
  const whole = blockContainer(file, use, callerOf(container), own)
  const perTest = (key: PropertyKey): TestContainer => {
    whole.cancel()
    const as = options.as ?? file.nameFor(name, String(key))
    return createTestContainer(key, { scope: 'test', ...use, as }, () => file.known[as])
  }
  return asDecorator(whole.handle as Handle<N>, { file: whole.handle, perTest })
}

/** A container of the enclosing block, unless cancelled. */
export interface BlockContainer {
  /** A name: in whatever file it is used, that file's container. */
  readonly handle: object
  /** Known once the block has begun, and asked for where another file's loading made this. With scope `test` the block has none. */
  scope(): Scope | undefined | Promise<Scope>
  cancel(): void
}

/** Leases for the enclosing block; or, with scope `test`, for each of its tests what `own` is. Failures stand where `caller` is. */
export function blockContainer(file: TestFile, use: Use, caller: Caller, own?: TestContainer): BlockContainer {
  const name = use.as ?? use.name
  let scope: Scope | undefined
  let wanted = true
  // 0: no limit. Images are fetched and services started outside the tests' own time.
  if (file.unavailable !== undefined) wanted = false
  beforeAll(async () => {
    if (!wanted) return
    try {
      scope = await file.begin(use)
    } catch (error) {
      throw thrownAt(caller, error)
    }
  }, 0)
  if (own !== undefined) {
    beforeEach(async ({ task, onTestFinished }) => {
      if (scope !== 'test') return
      onTestFinished(() => endTheirs(task, [own]), 0)
      await own.begin(task, file.session, task.concurrent === true)
    }, 0)
  }
  finallyAll(async block => {
    const lease = file.lease(name)
    await explain(block.result, lease === undefined ? [] : [[name, lease]])
    if (wanted && scope !== 'test') await file.letGo(use)
  })
  return {
    handle: createHandle(name, {
      lease: () => openedFile()?.lease(name) ?? own?.current(),
      address: () => (openedFile() ?? file).known[name],
      wake: () => borrow(file, use),
    }),
    scope: () => (openedFile()?.path === file.path ? scope : openedFile()?.session.prepare(use)),
    cancel: () => void (wanted = false),
  }
}

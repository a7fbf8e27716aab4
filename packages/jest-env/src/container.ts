import { asDecorator, callerOf, thrownAt, type ContainerDecorator, type Handle, type Name, type Scope, type TestContainer } from '@mayfly/core/worker'
import { currentSession, ensureInTime, jestGlobals, NO_LIMIT } from './hooks.js'

export interface UseOptions {
  readonly as?: string
  readonly scope?: Scope
}

/**
 * A container for this file, or for the enclosing `describe`: a service of the configuration, a preset, or an image.
 * Ready before any later `beforeAll` of its block. One named in a `@container` pragma is that one. Applied to a member of
 * a class for `fixtures()`, a static one is for the file and any other for each test.
 */
export function container<const N extends Name>(name: N, options: UseOptions = {}): Handle<N> & ContainerDecorator<Handle<N>> {
  const session = currentSession()
  const caller = callerOf(container)
  const use = { name, ...options }
  const as = options.as ?? name
  const own = session.perTest(as, use)
  let scope: Scope | undefined
  let wanted = !session.declared(as)
  if (wanted) {
    ensureInTime(session, `container('${name}')`)
    const { beforeAll, beforeEach } = jestGlobals()
    beforeAll(async () => {
      if (!wanted) return
      try {
        scope = await session.begin(use)
        if (scope !== 'test') session.tests.afterBlock(() => session.letGo(use))
      } catch (error) {
        throw thrownAt(caller, error)
      }
    }, NO_LIMIT)
    beforeEach(async () => { if (scope === 'test') await session.tests.begin([own]) }, NO_LIMIT)
  }
  const handle = session.handle(as, own) as Handle<N>
  const perTest = (key: PropertyKey): TestContainer => {
    wanted = false
    return session.perTest(key, { scope: 'test', ...use, as: options.as ?? session.nameFor(name, String(key)) })
  }
  return asDecorator(handle, { file: handle, perTest })
}

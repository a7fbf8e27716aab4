import { createHandle, type HandleOf, type NamedUse, type TestContainer } from '@mayfly/core/worker'
import { currentSession, ensureInTime, jestGlobals, type JestTest } from './hooks.js'

type Body<A, R extends readonly unknown[] = []> = (containers: A, ...row: R) => unknown

/** Jest's `test`, whose body gets containers as its argument. */
export interface ContainerTest<A> {
  (title: string, body: Body<A>, timeout?: number): void
  readonly only: ContainerTest<A>
  readonly skip: ContainerTest<A>
  readonly failing: ContainerTest<A>
  /** Each of the tests has instances of its own where the scope is `test`. */
  readonly concurrent: ContainerTest<A>
  /** The row's values come after the containers. */
  each<T>(table: readonly T[]): (title: string, body: Body<A, T extends readonly unknown[] ? T : [T]>, timeout?: number) => void
  todo(title: string): void
}

/** A `test` with containers: each key is a member of the body's argument, each value a name. */
export function withContainers<const M extends Readonly<Record<string, NamedUse>>>(map: M): ContainerTest<{ [K in keyof M]: HandleOf<M[K]> }> {
  const session = currentSession()
  ensureInTime(session, 'withContainers()')
  const members = Object.entries(map).map(([key, wanted]) => {
    const use = typeof wanted === 'string' ? { name: wanted } : wanted
    return session.perTest(key, { ...use, as: use.as ?? session.nameFor(use.name, key) })
  })
  const { test } = jestGlobals()
  return testerOver(test, members) as ContainerTest<{ [K in keyof M]: HandleOf<M[K]> }>
}

function testerOver(test: JestTest, members: readonly TestContainer[]): object {
  const { tests } = currentSession()
  // Without parameters: Jest takes one for a callback.
  const around = (body: Body<object, readonly unknown[]>): (...row: readonly unknown[]) => Promise<void> => {
    const whole = async (...row: readonly unknown[]): Promise<void> => {
      const { test: running, done } = await tests.of(whole, members)
      try {
        await body(argumentOf(members, running), ...row)
      } finally {
        await done()
      }
    }
    tests.need(whole, members)
    return whole
  }
  const tester = (title: string, body: Body<object>, timeout?: number): void => test(title, around(body), timeout)
  const over = (name: 'only' | 'skip' | 'failing' | 'concurrent'): object => testerOver(test[name], members)
  return Object.defineProperties(tester, {
    only: { get: () => over('only') },
    skip: { get: () => over('skip') },
    failing: { get: () => over('failing') },
    concurrent: { get: () => over('concurrent') },
    each: { value: (table: readonly unknown[]) => (title: string, body: Body<object, readonly unknown[]>, timeout?: number) => test.each(table)(title, around(body), timeout) },
    todo: { value: (title: string) => test.todo(title) },
  })
}

/** Handles that stay with their test, however many run. */
function argumentOf(members: readonly TestContainer[], running: object): object {
  return Object.fromEntries(members.map(member => {
    const lease = member.held(running)
    return [member.key, createHandle(String(member.key), { lease: () => lease, address: () => undefined })]
  }))
}

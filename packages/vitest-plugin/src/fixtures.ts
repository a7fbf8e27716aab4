import { callerOf, createHandle, createTestContainer, testMembers, type Caller, type HandleOf, type NamedUse, type TestContainer, type Use } from '@mayfly/core/worker'
import { beforeEach, type TestAPI } from 'vitest'
import { blockContainer } from './container.js'
import { endTheirs } from './explain.js'
import { borrow, currentFile, fileWithContainers, type TestFile } from './file.js'

/**
 * An instance of a class whose members `@container(…)` decorates: static ones are there for the file, the others anew
 * for each test. Call it at the top of a file, or in a `describe`.
 */
export function fixtures<T extends object>(Class: new () => T): T {
  const file = fileWithContainers('fixtures()')
  const instance = new Class()
  const members = testMembers<TestContainer>(instance)
  beforeEach(async ({ task, onTestFinished }) => {
    onTestFinished(() => endTheirs(task, members), 0)
    await Promise.all(members.map(member => member.begin(task, file.session, task.concurrent === true)))
  }, 0)
  return instance
}

/**
 * `base` with containers as fixtures: each key is an argument of the test, each value a name. Tests that run at the same
 * time get instances of their own where the scope is `test`.
 */
export function withContainers<C, const M extends Readonly<Record<string, NamedUse>>>(
  base: TestAPI<C>,
  map: M,
): TestAPI<C & { [K in keyof M]: HandleOf<M[K]> }> {
  const file = fileWithContainers('withContainers()')
  const caller = callerOf(withContainers)
  const fixturesByKey = Object.fromEntries(Object.entries(map).map(([key, wanted]) => {
    const use = typeof wanted === 'string' ? { name: wanted } : wanted
    return [key, [fixture(file, key, use, caller), { scope: 'test' }]]
  }))
  return base.extend(fixturesByKey as never) as never
}

interface Test {
  readonly task: object & { readonly concurrent?: boolean }
}

/** One argument: the file's container, or one of the test's own where the service has scope `test`. */
function fixture(file: TestFile, key: string, use: Use, caller: Caller): unknown {
  const own = createTestContainer(key, { ...use, as: use.as ?? file.nameFor(use.name, key) }, () => undefined)
  const whole = blockContainer(file, use, caller)
  return async ({ task }: Test, give: (handle: object) => Promise<void>): Promise<void> => {
    if (await whole.scope() !== 'test') {
      await borrow(file, use)
      return await give(whole.handle)
    }
    await own.begin(task, currentFile().session, task.concurrent === true)
    try {
      await give(createHandle(key, { lease: () => own.held(task), address: () => undefined }))
    } finally {
      await endTheirs(task, [own])
    }
  }
}

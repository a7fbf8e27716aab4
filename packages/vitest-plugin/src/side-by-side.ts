import type { RunnerTestSuite } from 'vitest'
import type { getHooks } from 'vitest/suite'

type Cleanup = () => unknown
type Hook = ReturnType<typeof getHooks>['beforeAll'][number]

/** What undoes ours, told apart from what users' hooks return. */
const ours = new WeakSet<Cleanup>()

export function markOurs<C extends Cleanup>(cleanup: C): C {
  ours.add(cleanup)
  return cleanup
}

/**
 * With `sequence.hooks: 'parallel'` Vitest calls all that the `beforeAll`s of a block returned at once. Called by the first of a
 * file's, this has ours come after the last of the others', in this block and in those within, the latest first. `first` is
 * what undoes the caller's; answered is what it is to return. Nothing waits: it would hold one of Vitest's `maxConcurrency`
 * places that what it waits for may need.
 */
export function putOursLast(block: RunnerTestSuite, hooksOf: typeof getHooks, first?: Cleanup): Cleanup {
  const late: Cleanup[] = first === undefined ? [] : [first]
  let others = 0
  const undo = async (): Promise<void> => {
    for (const cleanup of late.splice(0).reverse()) await cleanup()
  }
  const alone = async (): Promise<void> => { if (others === 0) await undo() }
  const around = (hook: Hook): Hook => Object.assign(async (...args: Parameters<Hook>) => {
    const cleanup: unknown = await hook(...args)
    if (typeof cleanup !== 'function') return cleanup
    if (ours.has(cleanup as Cleanup)) {
      late.push(cleanup as Cleanup)
      return alone
    }
    others += 1
    return async () => {
      try {
        return await (cleanup as Cleanup)()
      } finally {
        others -= 1
        if (others === 0) await undo()
      }
    }
  }, hook)
  const list = hooksOf(block).beforeAll
  for (const [at, hook] of list.entries()) list[at] = around(hook)
  for (const task of block.tasks) if (task.type === 'suite') putOursLast(task, hooksOf)
  return alone
}

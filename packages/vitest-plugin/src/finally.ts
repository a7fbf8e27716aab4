import { afterAll, beforeAll, inject, type RunnerTestSuite } from 'vitest'
import type { getHooks } from 'vitest/suite'
import type { TaskResult } from './explain.js'
import type {} from './provided.js'
import { markOurs, putOursLast } from './side-by-side.js'

interface Block {
  readonly result?: TaskResult | undefined
}
type Hook = ReturnType<typeof getHooks>['beforeAll'][number]

/** Those of ours that stand in a block's list. */
const ours = new WeakSet<Hook>()
/** Files whose hooks, run side by side, have been put in order. */
const ordered = new WeakSet<object>()

/** Only where it is needed; and there before any hook runs, which must not wait for it. */
let suite: { readonly getHooks: typeof getHooks } | undefined
if (inject('mayflyHooks') === 'parallel') void import('vitest/suite').then(module => void (suite = module))

/**
 * After every other tear-down of the enclosing block: its `afterAll`s, and what its `beforeAll`s returned, which Vitest calls
 * later. The latest of these first. No time limit: it undoes what has none. For a test, `onTestFinished` is as much.
 *
 * Vitest's default order is a stack's, in which what is defined first is undone last. With `sequence.hooks: 'list'`, as
 * those who come from Jest set it, it stands behind what the block defined; with `parallel`, see `putOursLast`.
 */
export function finallyAll(hook: (block: Block) => Promise<void>): void {
  let begun: Block | undefined
  const undo = async (): Promise<void> => {
    const block = begun
    begun = undefined
    if (block !== undefined) await hook(block)
  }
  beforeAll(async function () {
    // The block is the only argument, or the second: no pattern of names means it in all versions of Vitest.
    // eslint-disable-next-line prefer-rest-params
    const block = begun = arguments[arguments.length - 1] as RunnerTestSuite
    if (suite !== undefined && 'filepath' in block && !ordered.has(block)) {
      ordered.add(block)
      return putOursLast(block, suite.getHooks, undo)
    }
    if (inject('mayflyHooks') !== 'list') return markOurs(undo)
    const list = (await import('vitest/suite')).getHooks(block).beforeAll
    const first = list.findIndex(one => ours.has(one))
    const last = (): typeof undo => undo
    ours.add(last)
    list.splice(first < 0 ? list.length : first, 0, last)
    return undefined
  }, 0)
  // What `beforeAll`s returned is lost when one of them fails.
  afterAll(async () => {
    if (begun?.result?.state === 'fail') await undo()
  }, 0)
}

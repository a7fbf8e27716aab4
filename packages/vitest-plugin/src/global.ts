import { launchRun, RUN_VARIABLE, type LaunchedRun } from '@mayfly/core/plugin'
import { availableParallelism } from 'node:os'
import type { TestProject } from 'vitest/node'

const RUN = Symbol.for('mayfly.vitest.run')
type Kept = typeof globalThis & { [RUN]?: { readonly run: Promise<LaunchedRun>; users: number } }

/** Vitest's global set-up: one run host for the whole run, however many projects it has. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const shared = globalThis as Kept
  const { root, maxWorkers } = project.config
  const slots = typeof maxWorkers === 'number' ? maxWorkers : availableParallelism()
  const kept = (shared[RUN] ??= { run: launchRun({ directories: [root], slots }), users: 0 })
  kept.users += 1
  process.env[RUN_VARIABLE] = JSON.stringify((await kept.run).address)
  return async () => {
    kept.users -= 1
    if (kept.users > 0) return
    delete shared[RUN]
    delete process.env[RUN_VARIABLE]
    await (await kept.run).close()
  }
}

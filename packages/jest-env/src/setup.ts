import { launchRun, RUN_VARIABLE, type LaunchedRun } from '@mayfly/core/plugin'
import { CHAINED } from './config.js'
import { chained } from './chain.js'

interface Global {
  readonly rootDir?: string
  readonly maxWorkers: number
  readonly projects?: readonly string[]
}

/** Kept on the process, not in a module: watch mode loads set-up anew for every re-run and the run stays warm. */
export const RUN = Symbol.for('mayfly.jest.launched')
export type Kept = typeof globalThis & { [RUN]?: LaunchedRun }

/** Jest's global set-up: starts the run host, then the user's own set-up, which sees the run's address. */
export default async function setup(global: Global, project: { readonly rootDir: string }): Promise<void> {
  const kept = globalThis as Kept
  if (kept[RUN] === undefined) {
    const directories = [project.rootDir, ...(global.projects ?? [])]
    kept[RUN] = await launchRun({ directories, slots: Math.max(1, global.maxWorkers) })
  }
  process.env[RUN_VARIABLE] = JSON.stringify(kept[RUN].address)
  await chained(CHAINED.setup, project.rootDir, global, project)
}

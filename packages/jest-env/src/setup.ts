import { cacheKey, launchOrSkip, RUN_VARIABLE, type LaunchedRun } from '@mayfly/core/plugin'
import { runOwn } from './chain.js'

export interface Global {
  readonly rootDir?: string
  readonly maxWorkers: number
  readonly projects?: readonly string[]
  readonly watch?: boolean
  readonly watchAll?: boolean
  readonly silent?: boolean
  readonly json?: boolean
}

export interface Project {
  readonly rootDir: string
}

/** Kept on the process, not in a module: watch mode loads set-up anew for every re-run and the run stays warm. */
export const RUN = Symbol.for('mayfly.jest.launched')
export type Kept = typeof globalThis & { [RUN]?: Warm }

export interface Warm {
  readonly run: Promise<LaunchedRun>
  /** What the run was started with: the configurations, their inputs and their modules. Known in watch mode only. */
  readonly state: string
  /** Set-ups whose tear-down has not come: projects with set-ups of their own each have one. */
  users: number
  /** In watch mode, until the run is ended for want of use. */
  idle?: NodeJS.Timeout | undefined
}

/** Jest's global set-up: starts the run host. */
export default async function setup(global: Global, project: Project): Promise<void> {
  const kept = globalThis as Kept
  const directories = [project.rootDir, ...(global.projects ?? [])]
  const state = global.watch === true || global.watchAll === true ? await stateOf(directories) : ''
  const before = kept[RUN]
  if (before !== undefined && before.users === 0 && before.state !== state) {
    // A configuration or an input has changed since the last re-run.
    delete kept[RUN]
    clearTimeout(before.idle)
    await (await before.run).close()
  }
  const warm = (kept[RUN] ??= { run: launchOrSkip({ directories, slots: Math.max(1, global.maxWorkers) }), state, users: 0 })
  warm.users += 1
  clearTimeout(warm.idle)
  try {
    process.env[RUN_VARIABLE] = JSON.stringify((await warm.run).address)
  } catch (error) {
    delete kept[RUN]
    throw error
  }
}

async function stateOf(directories: readonly string[]): Promise<string> {
  // One that cannot be loaded is told by the run's start.
  return (await Promise.all(directories.map(directory => cacheKey(directory).catch(() => '')))).join()
}

/** The set-up of a project that has one of its own, which runs after ours and sees the run's address. */
export function around(own: string): typeof setup {
  return async (global, project) => {
    await setup(global, project)
    await runOwn(own, project.rootDir, global, project)
  }
}

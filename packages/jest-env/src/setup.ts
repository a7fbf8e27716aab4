import { cacheKey, launchOrSkip, RUN_VARIABLE, type LaunchedRun } from '@mayfly/core/plugin'
import { runOwn } from './chain.js'
import { selectedFiles, type Selection } from './selected.js'

export interface Global extends Selection {
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
  state: string
  /** Set-ups whose tear-down has not come: projects with set-ups of their own each have one. */
  users: number
}

/** Jest's global set-up: starts the run host. */
export default async function setup(global: Global, project: Project): Promise<void> {
  const kept = globalThis as Kept
  const directories = [project.rootDir, ...(global.projects ?? [])]
  const watching = global.watch === true || global.watchAll === true
  const state = watching ? await stateOf(directories) : ''
  const before = kept[RUN]
  if (before !== undefined && before.users === 0 && before.state !== state) await refresh(kept, before, state)
  const warm = (kept[RUN] ??= { run: launchOrSkip({ directories, slots: Math.max(1, global.maxWorkers), watching, ahead: true, files: selectedFiles(global, directories) }), state, users: 0 })
  warm.users += 1
  try {
    process.env[RUN_VARIABLE] = JSON.stringify((await warm.run).address)
  } catch (error) {
    delete kept[RUN]
    throw error
  }
}

/** A configuration or an input has changed since the last re-run. */
async function refresh(kept: Kept, warm: Warm, state: string): Promise<void> {
  try {
    await (await warm.run).reload()
    warm.state = state
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'ERR_MAYFLY_RUN_LOST') throw error
    delete kept[RUN]
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

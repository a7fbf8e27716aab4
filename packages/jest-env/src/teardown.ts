import { describeRun, RUN_VARIABLE } from '@mayfly/core/plugin'
import { runOwn } from './chain.js'
import { RUN, type Global, type Kept, type Project } from './setup.js'

/** Jest's global tear-down: ends the run. In watch mode it stays for the next re-run. */
export default async function teardown(global: Global, _project: Project): Promise<void> {
  const kept = globalThis as Kept
  const warm = kept[RUN]
  if (warm === undefined) return
  warm.users -= 1
  if (warm.users > 0) return
  // Its containers end when nobody uses them for long; the run itself with the process.
  if (global.watch === true || global.watchAll === true) return
  delete kept[RUN]
  delete process.env[RUN_VARIABLE]
  const summary = await (await warm.run).close()
  if (summary !== undefined && global.silent !== true) process.stderr.write(describeRun(summary))
}

/** The tear-down of a project that has one of its own, which runs before ours. */
export function around(own: string): typeof teardown {
  return async (global, project) => {
    try {
      await runOwn(own, project.rootDir, global, project)
    } finally {
      await teardown(global, project)
    }
  }
}

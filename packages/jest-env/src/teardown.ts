import { RUN_VARIABLE } from '@mayfly/core/plugin'
import { chained } from './chain.js'
import { CHAINED } from './config.js'
import { RUN, type Kept } from './setup.js'

interface Global {
  readonly watch?: boolean
  readonly watchAll?: boolean
}

/** Jest's global tear-down: the user's own first, then the run. In watch mode the run stays for the next re-run. */
export default async function teardown(global: Global, project: { readonly rootDir: string }): Promise<void> {
  await chained(CHAINED.teardown, project.rootDir, global, project)
  if (global.watch === true || global.watchAll === true) return
  const kept = globalThis as Kept
  const run = kept[RUN]
  delete kept[RUN]
  delete process.env[RUN_VARIABLE]
  await run?.close()
}

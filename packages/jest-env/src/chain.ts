import { importModule } from '@mayfly/core/plugin'
import { createRequire } from 'node:module'
import { join } from 'node:path'

/** Runs the user's own global set-up or tear-down, whose path stands in `variable`, if there is one. */
export async function chained(variable: string, rootDir: string, ...args: readonly unknown[]): Promise<void> {
  const path = process.env[variable]
  if (path === undefined) return
  const { resolve } = createRequire(join(rootDir, 'package.json'))
  const run = await importModule(resolve(path.replace('<rootDir>', rootDir)))
  if (typeof run === 'function') await run(...args)
}

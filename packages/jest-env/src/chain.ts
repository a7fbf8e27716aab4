import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

/** Runs the user's own global set-up or tear-down, whose path stands in `variable`, if there is one. */
export async function chained(variable: string, rootDir: string, ...args: readonly unknown[]): Promise<void> {
  const path = process.env[variable]
  if (path === undefined) return
  const { resolve } = createRequire(join(rootDir, 'package.json'))
  const module = (await import(pathToFileURL(resolve(path.replace('<rootDir>', rootDir))).href)) as { default?: unknown }
  const inner = module.default
  const run = typeof inner === 'object' && inner !== null && 'default' in inner ? inner.default : inner
  if (typeof run === 'function') await run(...args)
}

import { createRequire } from 'node:module'
import { join } from 'node:path'
import { CHAINED } from './config.js'
import { environmentOver } from './environment.js'

type Base = Parameters<typeof environmentOver>[0]

/** The environment `withMayfly` sets: ours around the one the user configured. */
export const TestEnvironment = environmentOver(userEnvironment())
export default TestEnvironment

function userEnvironment(): Base {
  const name = process.env[CHAINED.environment] ?? 'node'
  const { resolve } = createRequire(join(process.cwd(), 'package.json'))
  const load = createRequire(import.meta.url)
  const path = firstOf([`jest-environment-${name}`, name], resolve) ?? `jest-environment-${name}`
  const module = load(path) as { TestEnvironment?: Base; default?: Base } | Base
  if (typeof module === 'function') return module
  const found = module.TestEnvironment ?? module.default
  if (found === undefined) throw new Error(`${name} is no Jest environment`)
  return found
}

function firstOf(names: readonly string[], resolve: (name: string) => string): string | undefined {
  for (const name of names) {
    try {
      return resolve(name)
    } catch {
      continue
    }
  }
  return undefined
}

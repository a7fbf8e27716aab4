import type { EnvironmentContext, JestEnvironment, JestEnvironmentConfig } from '@jest/environment'
import { MayflyError } from '@mayfly/core/worker'
import { realpathSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'

/** Our key among a project's `testEnvironmentOptions`. */
export const OPTION = 'mayfly'

export type EnvironmentClass = new (config: JestEnvironmentConfig, context: EnvironmentContext) => JestEnvironment

/**
 * The environment called `name` in a project. Jest's own come with the Jest that runs, whose version may be another than
 * the one this package finds from where it lies. Throws ERR_MAYFLY_OPTION_INVALID.
 */
export function environmentNamed(name: string, rootDir: string): EnvironmentClass {
  const places = [join(rootDir, 'package.json'), ...runningJest(), import.meta.url]
  for (const place of places) {
    const { resolve } = createRequire(place)
    const path = firstOf([`jest-environment-${name}`, name], resolve)
    if (path === undefined) continue
    const module = createRequire(import.meta.url)(path) as { TestEnvironment?: EnvironmentClass; default?: EnvironmentClass } | EnvironmentClass
    const found = typeof module === 'function' ? module : module.TestEnvironment ?? module.default
    if (typeof found === 'function') return found
    throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `${path} exports no Jest environment`)
  }
  throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `The Jest environment "${name}" is not installed`, {
    hint: `npm install --save-dev jest-environment-${name}`,
  })
}

/** Node's environment, of the Jest that runs. */
export function nodeEnvironment(): EnvironmentClass {
  for (const place of [...runningJest(), import.meta.url]) {
    const path = firstOf(['jest-environment-node'], createRequire(place).resolve)
    if (path !== undefined) return (createRequire(import.meta.url)(path) as { TestEnvironment: EnvironmentClass }).TestEnvironment
  }
  return environmentNamed('node', process.cwd())
}

/** Files of the running Jest from which its parts are found: its program, and by way of its parts what a strict package manager hides. */
function runningJest(): readonly string[] {
  const places: string[] = []
  try {
    places.push(realpathSync(process.argv[1] ?? ''))
  } catch {
    // Not started from a file.
  }
  let at = import.meta.url
  try {
    for (const name of ['jest', 'jest-cli', 'jest-config']) {
      at = createRequire(at).resolve(`${name}/package.json`)
      places.push(at)
    }
  } catch {
    // No Jest beside this package, or an older shape of it: what was found serves.
  }
  return places
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

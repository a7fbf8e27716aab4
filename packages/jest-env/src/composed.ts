import type { EnvironmentContext, JestEnvironmentConfig } from '@jest/environment'
import { environmentNamed, OPTION, type EnvironmentClass } from './base.js'
import { environmentOver } from './environment.js'

const known = new Map<string, EnvironmentClass>()

/** The environment `withMayfly` sets: ours around the one the project configured. Each project has its own. */
export const TestEnvironment = class {
  constructor(config: JestEnvironmentConfig, context: EnvironmentContext) {
    return new (environmentOf(config))(config, context)
  }
}
export default TestEnvironment

function environmentOf({ projectConfig: { rootDir, testEnvironmentOptions } }: JestEnvironmentConfig): EnvironmentClass {
  const { environment = 'node' } = (testEnvironmentOptions[OPTION] ?? {}) as { readonly environment?: string }
  const key = JSON.stringify([rootDir, environment])
  const there = known.get(key)
  if (there !== undefined) return there
  const made = environmentOver(environmentNamed(environment.replace('<rootDir>', rootDir), rootDir))
  known.set(key, made)
  return made
}

import { createRequire } from 'node:module'

/** The parts of a Jest configuration that Mayfly composes with. */
export interface JestConfig {
  readonly testEnvironment?: string
  readonly globalSetup?: string
  readonly globalTeardown?: string
  readonly globals?: Readonly<Record<string, unknown>>
  readonly [key: string]: unknown
}

type Source = JestConfig | (() => JestConfig | Promise<JestConfig>)

/** Where the user's own modules cross to ours, by the process's environment. */
export const CHAINED = { setup: 'MAYFLY_JEST_SETUP', teardown: 'MAYFLY_JEST_TEARDOWN', environment: 'MAYFLY_JEST_ENVIRONMENT' } as const

/** A Jest configuration with containers, around the given one: its environment and global set-up keep running. */
export function withMayfly(source: Source = {}): () => Promise<JestConfig> {
  return async () => {
    const config = typeof source === 'function' ? await source() : source
    const { resolve } = createRequire(import.meta.url)
    keep(CHAINED.setup, config.globalSetup)
    keep(CHAINED.teardown, config.globalTeardown)
    keep(CHAINED.environment, config.testEnvironment)
    return {
      ...config,
      globalSetup: resolve('./setup.cjs'),
      globalTeardown: resolve('./teardown.cjs'),
      testEnvironment: resolve('./composed.cjs'),
    }
  }
}

function keep(variable: string, path: string | undefined): void {
  if (path !== undefined) process.env[variable] = path
}

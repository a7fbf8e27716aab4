import { OPTION } from './base.js'
import { around, callerOf, ours } from './chain.js'

/** The parts of a Jest configuration that Mayfly composes with. */
export interface JestConfig {
  readonly testEnvironment?: string
  readonly testEnvironmentOptions?: Readonly<Record<string, unknown>>
  readonly globalSetup?: string | null
  readonly globalTeardown?: string | null
  readonly [key: string]: unknown
}

type Source<C extends object> = C | (() => C | Promise<C>)

/**
 * A Jest configuration with containers, around the given one: its environment, global set-up and tear-down keep running.
 * In a monorepo every project's configuration is wrapped.
 */
export function withMayfly<C extends object = JestConfig>(source: Source<C> = {} as C): () => Promise<C> {
  const place = callerOf(new Error().stack)
  return async () => {
    const config = (typeof source === 'function' ? await (source as () => C | Promise<C>)() : source) as C & JestConfig
    const { testEnvironment = 'node', testEnvironmentOptions, globalSetup, globalTeardown } = config
    return {
      ...config,
      globalSetup: around('setup', globalSetup ?? undefined, place),
      globalTeardown: around('teardown', globalTeardown ?? undefined, place),
      testEnvironment: ours('composed'),
      testEnvironmentOptions: { ...testEnvironmentOptions, [OPTION]: { environment: testEnvironment, ...(testEnvironmentOptions?.[OPTION] as object | undefined) } },
    }
  }
}

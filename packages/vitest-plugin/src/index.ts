import { createRequire } from 'node:module'
import type { Plugin } from 'vitest/config'
import { lowerDecorators } from './transform.js'

export type { ProvidedService, ProvidedServices } from './provided.js'

/** The plugin of `vitest.config`: starts the run before the tests, and gives every test file its services' addresses. */
export function mayfly(): Plugin[] {
  const { resolve } = createRequire(import.meta.url)
  return [lowerDecorators(), {
    name: 'mayfly',
    config: config => {
      const test = ((config as { test?: TestOptions }).test ??= {})
      test.globalSetup = [resolve('@mayfly/vitest-plugin/global'), ...listOf(test.globalSetup)]
      // First: what the user's set-up files read in the environment must stand there.
      test.setupFiles = [resolve('@mayfly/vitest-plugin/setup'), ...listOf(test.setupFiles)]
    },
  }]
}

interface TestOptions {
  globalSetup?: string | string[]
  setupFiles?: string | string[]
}

function listOf(value: string | string[] | undefined): string[] {
  return typeof value === 'string' ? [value] : (value ?? [])
}

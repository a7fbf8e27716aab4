import { configOf, findConfig } from '@mayfly/core/plugin'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import type { Plugin } from 'vitest/config'
import type {} from 'vitest/node'
import type {} from './provided.js'
import { lowerDecorators } from './transform.js'

export type { ProvidedService, ProvidedServices } from './provided.js'

/** The plugin of `vitest.config`: starts the run before the tests, and gives every test file its services' addresses. */
export function mayfly(): Plugin[] {
  const { resolve } = createRequire(import.meta.url)
  const setup = resolve('@mayfly/vitest-plugin/setup')
  return [lowerDecorators(), {
    name: 'mayfly',
    configureVitest: async ({ vitest, project }) => {
      // Also where the command line alone asks for a browser: the set-up is Node's.
      if (project.config.browser.enabled) project.config.setupFiles = project.config.setupFiles.filter(file => file !== setup)
      project.provide('mayflyHooks', project.config.sequence.hooks)
      if (vitest.config.watch) vitest.config.forceRerunTriggers.push(...await triggersOf(project.config.root))
    },
    config: config => {
      const test = ((config as { test?: TestOptions }).test ??= {})
      test.globalSetup = [resolve('@mayfly/vitest-plugin/global'), ...listOf(test.globalSetup)]
      // First: what the user's set-up files read in the environment must stand there.
      if (test.browser?.enabled !== true) test.setupFiles = [setup, ...listOf(test.setupFiles)]
      // Loaded by Node in every worker, not transformed for it: 60 ms a file where this package is linked and not installed.
      const deps = ((test.server ??= {}).deps ??= {})
      deps.external = [...deps.external ?? [], ...OWN.map(name => new RegExp(`^${escaped(dirname(resolve(name)))}/`))]
    },
  }]
}

/** The configuration and what its services are prepared from: a change of them runs the tests again. */
async function triggersOf(root: string): Promise<string[]> {
  const path = findConfig(root)
  if (path === undefined) return []
  // One that cannot be loaded is told by the run's start.
  const services = await configOf(root).then(({ config }) => Object.values(config.services), () => [])
  const inputs = services.flatMap(({ options: { prepare } }) => (typeof prepare === 'object' ? prepare.inputs ?? [] : []))
  return [path, ...inputs.map(pattern => join(dirname(path), pattern))]
}

const OWN = ['@mayfly/vitest-plugin/setup', '@mayfly/core/worker']

function escaped(path: string): string {
  return path.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')
}

interface TestOptions {
  server?: { deps?: { external?: (string | RegExp)[] } }
  globalSetup?: string | string[]
  setupFiles?: string | string[]
  browser?: { enabled?: boolean }
}

function listOf(value: string | string[] | undefined): string[] {
  return typeof value === 'string' ? [value] : (value ?? [])
}

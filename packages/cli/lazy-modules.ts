import { createRequire } from 'node:module'

import type { Options } from 'tsup'

const require = createRequire(import.meta.url)

/** These are loaded when something of theirs is used for the first time, wherever they are imported. */
export function lazyModules(names: readonly string[]): NonNullable<Options['esbuildPlugins']>[number] {
  return {
    name: 'lazy-modules',
    setup(build) {
      const form = new RegExp(`^(?:node:)?(${names.join('|')})$`)
      build.onResolve({ filter: form }, ({ path, namespace }) => (namespace === 'lazy' ? { path, external: true } : { path: path.replace(/^node:/, ''), namespace: 'lazy' }))
      build.onLoad({ filter: /.*/, namespace: 'lazy' }, ({ path }) => ({
        contents: `let it
          for (const name of ${JSON.stringify(Object.keys(require(path) as object))}) Object.defineProperty(exports, name, { enumerable: true, get: () => (it ??= require(${JSON.stringify(path)}))[name] })`,
      }))
    },
  }
}

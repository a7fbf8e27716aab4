import { rmSync } from 'node:fs'

import { defineConfig, type Options } from 'tsup'

const common: Options = { format: ['esm', 'cjs'], target: 'node20', platform: 'node', splitting: true, sourcemap: true }
const entries = ['src/index.ts', 'src/global.ts', 'src/browser.ts']
const inWorkers = ['src/test.ts', 'src/setup.ts']
rmSync('dist', { recursive: true, force: true })

export default defineConfig([
  { ...common, entry: entries, shims: true },
  // Loaded in the process of every test file: what they need of the library is in one file with them, since finding a module takes 1 ms.
  { ...common, entry: inWorkers, noExternal: ['@mayfly/core/worker'] },
  { ...common, entry: [...entries, ...inWorkers], dts: { only: true, compilerOptions: { composite: false } } },
])

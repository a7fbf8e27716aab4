import { defineConfig } from 'tsup'

export default defineConfig({
  entry: ['src/index.ts', 'src/plugin.ts', 'src/worker.ts', 'src/engine.ts', 'src/listing.ts', 'src/host.ts', 'src/keeper.ts'],
  format: ['esm', 'cjs'],
  target: 'node20',
  platform: 'node',
  splitting: true,
  sourcemap: true,
  clean: true,
  shims: true,
  dts: { compilerOptions: { composite: false } },
})

import { defineConfig } from 'tsup'

export default defineConfig({
  entry: ['src/index.ts', 'src/test.ts', 'src/setup.ts', 'src/global.ts', 'src/browser.ts'],
  format: ['esm', 'cjs'],
  target: 'node20',
  platform: 'node',
  splitting: true,
  sourcemap: true,
  clean: true,
  shims: true,
  dts: { compilerOptions: { composite: false } },
})

import { defineConfig } from 'tsup'

export default defineConfig({
  entry: { main: 'src/bin.ts' },
  format: ['esm'],
  target: 'node20',
  platform: 'node',
  splitting: true,
  sourcemap: true,
  clean: true,
  minify: true,
  // Found and read with the rest: eight files less for every command.
  noExternal: ['commander'],
  // What it brings is CommonJS, and asks for Node's own modules by require.
  banner: { js: '#!/usr/bin/env node\nimport { createRequire as requireOf } from \'node:module\'\nconst require = requireOf(import.meta.url)' },
})

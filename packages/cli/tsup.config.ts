import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'

import { defineConfig, type Options } from 'tsup'

import { lazyModules } from './lazy-modules.js'

/** Each is loaded by a few commands, and found where the library finds it. */
const PACKAGES = ['fzstd', 'jiti', 'undici', 'wait-on', 'zod']
/** Of Node's own, those that take a while and that not every command needs. */
const HEAVY = ['child_process', 'crypto', 'dgram', 'dns/promises', 'http', 'https', 'net', 'readline', 'readline/promises', 'tls', 'worker_threads', 'zlib']

const LIBRARY = `
const $mayfly = { here: require, get file() { return this.here.resolve('@mayfly/core') }, get url() { return this.here('node:url').pathToFileURL(this.file).href } }
require = (name) => (${JSON.stringify(PACKAGES)}.some((one) => name === one || name.startsWith(one + '/')) ? $mayfly.there ??= $mayfly.here('node:module').createRequire($mayfly.file) : $mayfly.here)(name)`

const common: Options = { format: ['cjs'], target: 'node20', platform: 'node', splitting: false, sourcemap: true, minify: true, removeNodeProtocol: false, outExtension: () => ({ js: '.js' }) }
rmSync('dist', { recursive: true, force: true })
mkdirSync('dist')
writeFileSync('dist/package.json', '{ "type": "commonjs" }\n')

// Two files of CommonJS, the library's in the second: to look for modules one by one takes a command 10 ms, and of one file
// what V8 compiled can be kept.
export default defineConfig([
  { ...common, entry: { main: 'src/bin.ts' }, banner: { js: '#!/usr/bin/env node' } },
  {
    ...common,
    entry: { commands: 'src/main.ts' },
    noExternal: ['commander', 'get-port', 'tar-stream', /^@mayfly\/core/],
    external: [...PACKAGES, '@mayfly/native'],
    esbuildPlugins: [lazyModules([...HEAVY, '@mayfly/native'])],
    esbuildOptions: (options) => {
      options.charset = 'ascii'
      options.supported = { 'dynamic-import': false }
      options.define = { ...options.define, 'import.meta.url': '$mayfly.url' }
    },
    banner: { js: LIBRARY },
    // Its first line is a name for all below it: what was compiled of another file must not be taken for it.
    onSuccess: () => {
      const code = readFileSync('dist/commands.js')
      writeFileSync('dist/commands.js', `//${createHash('sha256').update(code).digest('hex')}\n${code.toString('latin1')}`, 'latin1')
      return Promise.resolve()
    },
  },
])

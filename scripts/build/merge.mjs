// The bundler cuts shared code into a file for every set of entries that need it, and reading thirty of them costs a
// first `run()` 20 ms. Here the files on its way are put together again: node scripts/build/merge.mjs DIST
import { existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { rollup } from 'rollup'

/** Loaded one after the other by `run()`; what an earlier one has, a later one does not repeat. */
const WAY = [['index'], ['listing'], ['supervision'], ['start', 'lease']]

const dist = process.argv[2]
const files = readdirSync(dist).filter((name) => name.endsWith('.js'))
const entries = ['index', 'engine', 'listing', 'plugin', 'worker', 'host', 'keeper'].filter((name) => files.includes(`${name}.js`))
const groups = new Map()
// A test file's process needs but little of it, and shall not read the rest.
const inWorkers = closure('worker.js')
for (const names of WAY) {
  for (const name of names) {
    const entry = files.find((file) => file === `${name}.js` || new RegExp(`^${name}-[A-Z0-9]{8}\\.js$`).test(file))
    if (entry === undefined) throw new Error(`${dist} has no file of ${name}: is it still loaded by itself?`)
    for (const file of closure(entry)) if (!groups.has(file)) groups.set(file, inWorkers.has(file) ? 'common' : names[0])
  }
}
for (const file of inWorkers) if (!groups.has(file)) groups.set(file, 'worker')
const bundle = await rollup({
  input: Object.fromEntries(entries.map((name) => [name, join(dist, `${name}.js`)])),
  external: (id) => !id.startsWith('.') && !id.startsWith('/'),
  preserveEntrySignatures: 'strict',
  plugins: [{ name: 'maps', load: (id) => existsSync(`${id}.map`) ? { code: readFileSync(id, 'utf8'), map: readFileSync(`${id}.map`, 'utf8') } : null }],
  onwarn: (warning, warn) => { if (warning.code !== 'CIRCULAR_DEPENDENCY') warn(warning) },
})
const { output } = await bundle.generate({
  dir: dist, format: 'es', sourcemap: true, chunkFileNames: '[name]-[hash].js',
  // Entries stay what they are: what they share goes on the way.
  manualChunks: (id) => {
    const file = basename(id)
    return entries.includes(file.slice(0, -'.js'.length)) || !groups.has(file) ? undefined : `way-${groups.get(file)}`
  },
})
await bundle.close()
for (const file of files) for (const old of [file, `${file}.map`]) rmSync(join(dist, old), { force: true })
for (const one of output) writeFileSync(join(dist, one.fileName), one.type === 'chunk' ? one.code : one.source)

/** @param {string} entry @param {Set<string>} seen */
function closure(entry, seen = new Set()) {
  if (seen.has(entry)) return seen
  seen.add(entry)
  for (const [, file] of readFileSync(join(dist, entry), 'utf8').matchAll(/^(?:import|export)[^;]*?from "\.\/([^"]+)";|^import "\.\/([^"]+)";/gm)) if (file !== undefined) closure(file, seen)
  return seen
}

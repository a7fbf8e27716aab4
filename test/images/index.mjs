// The test images: built by `mayfly build` when their Dockerfiles changed, kept in the registry's own storage, shared by all
// clones.
//   node test/images/index.mjs        builds what is missing and prints where it is (root; Mayfly must be built)
import { createHash } from 'node:crypto'
import { cpSync, existsSync, linkSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { withLock } from '../../scripts/setup/lock.mjs'
import { baseKey, makeBase } from './base/base.mjs'
import { openBuilder } from './builder.mjs'
import { images } from './images.mjs'

const here = dirname(fileURLToPath(import.meta.url))
const keepFor = 14 * 24 * 3600_000

/** Where built images are kept. */
export function imageCache() {
  return process.env.MAYFLY_TEST_IMAGES ?? join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'mayfly-test-images')
}

/** The registry's storage directory for the Dockerfiles as they stand, built or not. */
export function registryStorage() {
  return join(imageCache(), `registry-${createHash('sha256').update(JSON.stringify(imageKeys())).digest('hex').slice(0, 16)}`)
}

/** The root file system and the packages of a Debian suite. @param {string} suite */
export function baseContext(suite) {
  return join(imageCache(), `base-${suite}-${baseKey(suite, packagesOf(suite))}`)
}

/** True when nothing needs building. */
export function imagesReady() {
  return existsSync(registryStorage())
}

/**
 * Builds what is missing. Needs root, mmdebstrap, docker-registry and a built Mayfly. Safe to call from several processes
 * at once.
 * @param {(text: string) => void} [step]  called with each thing being done
 */
export async function buildImages(step = () => {}) {
  const cache = imageCache()
  if (imagesReady()) return [registryStorage(), ...suites().map(baseContext)].forEach(touch)
  mkdirSync(cache, { recursive: true })
  await withLock(join(cache, 'lock'), async () => {
    if (imagesReady()) return
    removeOld(cache)
    await fill(step)
  }, () => step('waiting for another set-up that is building the images'))
}

/** A suite's images are built while another's packages are still being fetched. */
async function fill(step) {
  const storage = registryStorage()
  const temporary = join(imageCache(), `tmp-registry-${process.pid}`)
  rmSync(temporary, { recursive: true, force: true })
  mkdirSync(temporary)
  const keys = imageKeys()
  const there = begunFrom(temporary)
  const done = (name) => {
    there[name] = keys[name]
    writeFileSync(join(temporary, 'keys.json'), JSON.stringify(there))
  }
  const builder = await openBuilder(temporary, join(imageCache(), `tmp-build-${process.pid}`))
  try {
    const results = await Promise.allSettled(suites().map(async (suite) => {
      const wanted = Object.keys(images).filter((name) => images[name].suite === suite && there[name] !== keys[name])
      if (wanted.length === 0) return
      step(`Debian ${suite} from packages`)
      await makeBase(suite, packagesOf(suite), baseContext(suite))
      for (const name of wanted) {
        step(name)
        await builder.build(images[name], contextOf(name), packagesFor(name))
        done(name)
      }
    }))
    const failed = results.find((result) => result.status === 'rejected')
    if (failed !== undefined) {
      // The next attempt begins with what this one has made.
      renameSync(temporary, join(imageCache(), `registry-part-${process.pid}`))
      throw failed.reason
    }
  } finally {
    await builder.close()
  }
  renameSync(temporary, storage)
}

/** Begins with what the newest registry has: its blobs by hard links, since they never change. Gives the keys of its images. */
function begunFrom(temporary) {
  const cache = imageCache()
  const age = (name) => statSync(join(cache, name)).mtimeMs
  const newest = readdirSync(cache).filter((name) => /^registry-/.test(name) && existsSync(join(cache, name, 'keys.json'))).sort((a, b) => age(b) - age(a))[0]
  if (newest === undefined) return {}
  copyTree(join(cache, newest), temporary)
  return JSON.parse(readFileSync(join(cache, newest, 'keys.json'), 'utf8'))
}

function copyTree(from, to) {
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)]
    if (entry.isDirectory()) {
      mkdirSync(target)
      copyTree(source, target)
    } else if (entry.name === 'data') linkSync(source, target)
    else cpSync(source, target)
  }
}

function suites() {
  return [...new Set(Object.values(images).map(({ suite }) => suite))]
}

/** @param {string} suite @returns {Record<string, string[]>} */
function packagesOf(suite) {
  return Object.fromEntries(Object.entries(images).flatMap(([name, recipe]) => (recipe.suite === suite && recipe.packages ? [[name, recipe.packages]] : [])))
}

function contextOf(name) {
  const recipe = images[name]
  return recipe.packages === undefined ? baseContext(recipe.suite) : join(here, recipe.name)
}

function packagesFor(name) {
  const recipe = images[name]
  return recipe.packages === undefined ? undefined : join(baseContext(recipe.suite), 'packages', name)
}

function removeOld(cache) {
  for (const name of readdirSync(cache)) {
    const path = join(cache, name)
    const interrupted = name.startsWith('tmp-')
    const unused = /^(registry|base|layout)-/.test(name) && Date.now() - statSync(path).mtimeMs > keepFor
    if (interrupted || unused) rmSync(path, { recursive: true, force: true })
  }
}

function touch(path) {
  const now = new Date()
  if (existsSync(path)) utimesSync(path, now, now)
}

function imageKeys() {
  const builder = readFileSync(join(here, 'builder.mjs'))
  return Object.fromEntries(Object.entries(images).map(([name, recipe]) => {
    const hash = createHash('sha256').update(JSON.stringify([recipe, baseKey(recipe.suite, packagesOf(recipe.suite))])).update(builder)
    for (const file of filesUnder(join(here, recipe.name))) {
      hash.update(`\0${file}\0${statSync(file).mode & 0o100}\0`.replace(here, '')).update(readFileSync(file))
    }
    return [name, hash.digest('hex').slice(0, 16)]
  }))
}

function filesUnder(directory) {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort()
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await buildImages((text) => console.log(text))
  console.log(registryStorage())
}

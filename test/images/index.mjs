// The test images: built when their recipes changed, kept in the registry's own storage, shared by all clones.
//   node test/images/index.mjs        builds what is missing and prints where it is
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, linkSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statSync, utimesSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { withLock } from '../../scripts/setup/lock.mjs'
import { pushLayout } from './push.mjs'
import { families } from './recipes.mjs'
import { startRegistry } from './registry.mjs'

const here = dirname(fileURLToPath(import.meta.url))
const keepFor = 14 * 24 * 3600_000

/** Where built images are kept. */
export function imageCache() {
  return process.env.MAYFLY_TEST_IMAGES ?? join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'mayfly-test-images')
}

/** The registry's storage directory for the recipes as they stand, built or not. */
export function registryStorage() {
  const keys = Object.keys(families).map((name) => familyKey(name))
  return join(imageCache(), `registry-${createHash('sha256').update(keys.join()).digest('hex').slice(0, 16)}`)
}

/** The OCI layout of a family. @param {string} family */
export function familyLayout(family) {
  return join(imageCache(), `layout-${family}-${familyKey(family)}`)
}

/** True when nothing needs building. */
export function imagesReady() {
  return existsSync(registryStorage())
}

/**
 * Builds what is missing. Needs root, mmdebstrap, docker-registry. Safe to call from several processes at once.
 * @param {(text: string) => void} [step]  called with each thing being done
 */
export async function buildImages(step = () => {}) {
  const cache = imageCache()
  if (imagesReady()) return touch(registryStorage())
  mkdirSync(cache, { recursive: true })
  await withLock(join(cache, 'lock'), async () => {
    if (imagesReady()) return
    removeOld(cache)
    const results = await Promise.allSettled(Object.keys(families).map((name) => buildFamily(name, step)))
    const failed = results.find((result) => result.status === 'rejected')
    if (failed !== undefined) throw failed.reason
    await fillRegistry(step)
  }, () => step('waiting for another set-up that is building the images'))
}

async function buildFamily(name, step) {
  const layout = familyLayout(name)
  if (existsSync(layout)) return touch(layout)
  const temporary = join(imageCache(), `tmp-${name}-${process.pid}`)
  mkdirSync(temporary, { recursive: true })
  try {
    await runInNamespaces([join(here, 'builder/family.mjs'), name, temporary], step)
    renameSync(temporary, layout)
  } finally {
    rmSync(temporary, { recursive: true, force: true })
  }
}

/** @param {string[]} words @param {(text: string) => void} step */
function runInNamespaces(words, step) {
  return new Promise((resolve, reject) => {
    const child = spawn('setpriv', [
      '--pdeathsig', 'KILL', '--',
      'unshare', '--mount', '--pid', '--fork', '--kill-child=KILL', '--mount-proc', process.execPath, ...words,
    ], { stdio: ['ignore', 'pipe', 'pipe'] })
    let complaint = ''
    child.stderr.on('data', (chunk) => { complaint = (complaint + chunk).slice(-8000) })
    createInterface({ input: child.stdout }).on('line', step)
    child.once('error', reject)
    child.once('close', (code) => (code === 0 ? resolve(undefined) : reject(new Error(`building ${words[1]} failed (${code})\n${complaint}`))))
  })
}

async function fillRegistry(step) {
  const storage = registryStorage()
  const temporary = join(imageCache(), `tmp-registry-${process.pid}`)
  rmSync(temporary, { recursive: true, force: true })
  mkdirSync(temporary)
  step('filling the registry')
  const registry = await startRegistry({ storage: temporary, writable: true })
  try {
    for (const name of Object.keys(families)) await pushLayout(familyLayout(name), registry.url)
  } finally {
    await registry.close()
  }
  for (const name of Object.keys(families)) shareBlobs(familyLayout(name), temporary)
  renameSync(temporary, storage)
}

/** The layout's blobs become names of the registry's files: the same bytes need the disk only once. */
function shareBlobs(layout, storage) {
  for (const hex of readdirSync(join(layout, 'blobs/sha256'))) {
    const stored = join(storage, 'docker/registry/v2/blobs/sha256', hex.slice(0, 2), hex, 'data')
    if (!existsSync(stored)) continue
    const own = join(layout, 'blobs/sha256', hex)
    linkSync(stored, `${own}.link`)
    renameSync(`${own}.link`, own)
  }
}

function removeOld(cache) {
  for (const name of readdirSync(cache)) {
    const path = join(cache, name)
    const interrupted = name.startsWith('tmp-')
    const unused = /^(registry|layout)-/.test(name) && Date.now() - statSync(path).mtimeMs > keepFor
    if (interrupted || unused) rmSync(path, { recursive: true, force: true })
  }
}

function touch(path) {
  const now = new Date()
  utimesSync(path, now, now)
}

function familyKey(name) {
  const hash = createHash('sha256').update(JSON.stringify(families[name])).update(process.arch)
  const sources = new Set(['builder/family.mjs', 'builder/layer.mjs'])
  for (const recipe of Object.values(families[name].images)) {
    for (const layer of recipe.layers) {
      if (layer.script !== undefined) sources.add(layer.script)
      if (layer.files !== undefined) filesUnder(layer.files).forEach((file) => sources.add(file))
    }
  }
  for (const file of [...sources].sort()) {
    const path = join(here, file)
    hash.update(`\0${file}\0${statSync(path).mode & 0o100}\0`).update(readFileSync(path))
  }
  return hash.digest('hex').slice(0, 16)
}

function filesUnder(directory) {
  return readdirSync(join(here, directory), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(here.length + 1))
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await buildImages((text) => console.log(text))
  console.log(registryStorage())
}

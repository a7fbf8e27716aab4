import { readdir, rm, stat, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'

import { digestFromHex, type Digest } from '../digest.js'
import { lockFile, measureLayer } from '../layers/index.js'
import { listCatalog } from './catalog.js'
import { compareLayer } from './compare.js'
import { layerSource } from './compress.js'
import { layerRooms } from './gc.js'
import { loadManifest, wantedLayers } from './image.js'
import type { WantedLayer } from './layer.js'
import { sweepLock, sweepMark } from './lease.js'
import { linesOfRuns } from './reach.js'
import { findLayer, layerPath, rawRecord } from './record.js'
import { listRefFiles, type RefRecord } from './refs.js'
import { discardSnapshot, findSnapshot } from './snapshots.js'
import { blobPath, discardTree, hasBlob, hashFile, type Store } from './store.js'

/** Something in the store that is not what it should be. */
export interface StoreProblem {
  readonly kind: 'blob' | 'layer' | 'name' | 'snapshot'
  /** A digest, a name or a key. */
  readonly what: string
  readonly why: string
  /** Whether it was taken away. */
  readonly repaired: boolean
}

export interface StoreReport {
  readonly blobs: number
  readonly layers: number
  readonly names: number
  readonly snapshots: number
  readonly problems: readonly StoreProblem[]
}

export interface VerifyOptions {
  /** Take away what is wrong, unless containers run on it; the next pull brings it back. Default false. */
  readonly repair?: boolean | undefined
  readonly signal?: AbortSignal | undefined
}

type Found = Omit<StoreProblem, 'repaired'> & { readonly mend: () => Promise<boolean> }

/**
 * Hashes every blob again, compares every unpacked layer with its blob, and looks whether names and snapshots lead to
 * something whole. Throws ERR_MAYFLY_ABORTED, ERR_MAYFLY_STORE_FAILED.
 */
export async function verifyStore(store: Store, { repair = false, signal }: VerifyOptions = {}): Promise<StoreReport> {
  const problems: StoreProblem[] = []
  const settle = async (found: readonly Found[]): Promise<void> => {
    for (const { mend, ...problem } of found) problems.push({ ...problem, repaired: repair && await mend() })
  }
  const lock = repair ? await lockFile(sweepLock(store.home), signal) : undefined
  try {
    // So that a start that would use what is taken away waits, and then sees that it is gone.
    if (repair) await writeFile(sweepMark(store.home), '', { mode: 0o600 })
    // In this order: a name is whole or not by what is left then.
    const blobs = await checkBlobs(store, signal)
    await settle(blobs.found)
    const layers = await checkLayers(store)
    await settle(layers.found)
    const names = await checkNames(store)
    await settle(names.found)
    const snapshots = await checkSnapshots(store)
    await settle(snapshots.found)
    return { blobs: blobs.count, layers: layers.count, names: names.count, snapshots: snapshots.count, problems }
  } finally {
    if (repair) await rm(sweepMark(store.home), { force: true })
    await lock?.release()
  }
}

interface Checked {
  readonly count: number
  readonly found: readonly Found[]
}

async function checkBlobs(store: Store, signal?: AbortSignal): Promise<Checked> {
  const directory = join(store.home, 'blobs', 'sha256')
  const names = (await readdir(directory)).filter((name) => !name.endsWith('.tmp'))
  const found: Found[] = []
  for (const name of names) {
    signal?.throwIfAborted()
    const file = join(directory, name)
    const actual = await hashFile(file).catch((error: NodeJS.ErrnoException) => {
      // Collected meanwhile.
      if (error.code === 'ENOENT') return name
      throw error
    })
    if (actual === name) continue
    const mend = async (): Promise<boolean> => rm(file, { recursive: true, force: true }).then(() => true)
    found.push({ kind: 'blob', what: `sha256:${name}`, why: `its content has the digest sha256:${actual}`, mend })
  }
  return { count: names.length, found }
}

async function checkLayers(store: Store): Promise<Checked> {
  const used = new Set(await linesOfRuns(store))
  const wanted = await layersOfImages(store)
  const found: Found[] = []
  let count = 0
  for (const room of await layerRooms(store)) {
    for (const name of await readdir(room)) {
      count += 1
      const why = /^[0-9a-f]{64}$/.test(name)
        ? room === store.layers ? await layerProblem(store, digestFromHex(name), wanted) : undefined
        : 'it has no digest for a name'
      if (why === undefined) continue
      const directory = join(room, name)
      const mend = async (): Promise<boolean> => {
        if (used.has(`${basename(room)}/${name}/tree`)) return false
        await discardTree(store, directory)
        return true
      }
      found.push({ kind: 'layer', what: /^[0-9a-f]{64}$/.test(name) ? `sha256:${name}` : name, why, mend })
    }
  }
  return { count, found }
}

/** What images have as layers, each with those below it, bottom first; by both keys. */
async function layersOfImages(store: Store): Promise<ReadonlyMap<Digest, readonly WantedLayer[]>> {
  const found = new Map<Digest, readonly WantedLayer[]>()
  for (const { manifest, parsed } of await listCatalog(store)) {
    const all = wantedLayers(manifest.layers, parsed)
    for (const [index, { diffId, chainId }] of all.entries()) for (const key of [diffId, chainId]) found.set(key, all.slice(0, index + 1))
  }
  return found
}

async function layerProblem(store: Store, key: Digest, wanted: ReadonlyMap<Digest, readonly WantedLayer[]>): Promise<string | undefined> {
  const directory = layerPath(store, key)
  const record = await rawRecord(store, key)
  if (record === undefined) return 'its record cannot be read'
  if (record.kind !== 'diffId' && record.kind !== 'chainId') return 'its record has another form'
  if (record.kind === 'diffId' && record.diffId !== key) return `its record is that of ${String(record.diffId)}`
  if (!await stat(join(directory, 'tree')).then((one) => one.isDirectory(), () => false)) return 'its files are missing'
  // Of an earlier boot and perhaps not whole: it is unpacked again before anybody uses it.
  if (record.bootId !== undefined && record.bootId !== store.bootId) return undefined
  const layers = wanted.get(key) ?? []
  const layer = layers.at(-1)
  if (layer === undefined || (record.tar !== undefined && await isAsMade(store, layers))) return undefined
  const made = layer.blob.digest === layer.diffId && !await hasBlob(store, layer.blob)
  return made ? 'its files are not those it was made of' : await compareLayer(store, layer, join(directory, 'tree'))
}

/** Whether the topmost layer's tar, made once more, is what the image says. */
async function isAsMade(store: Store, layers: readonly WantedLayer[]): Promise<boolean> {
  const source = await layerSource(store, layers)
  return source !== undefined && (await measureLayer(source)).diffId === layers.at(-1)?.diffId
}

async function checkNames(store: Store): Promise<Checked> {
  const files = await listRefFiles(store)
  const found: Found[] = []
  for (const { file, reference, record } of files) {
    const why = reference === undefined || record === undefined ? 'it cannot be read' : await nameProblem(store, record)
    if (why === undefined) continue
    const mend = async (): Promise<boolean> => rm(file, { force: true }).then(() => true)
    found.push({ kind: 'name', what: reference === undefined ? file : String(reference), why, mend })
  }
  return { count: files.length, found }
}

async function nameProblem(store: Store, { manifests }: RefRecord): Promise<string | undefined> {
  for (const digest of Object.values(manifests)) {
    const stored = await loadManifest(store, { familiar: digest }, digest).catch(() => undefined)
    if (stored === undefined) return `its manifest ${digest} or its configuration is missing or damaged`
    for (const layer of wantedLayers(stored.manifest.layers, stored.parsed)) {
      const there = await findLayer(store, layer) ?? await stat(blobPath(store, layer.blob.digest)).catch(() => undefined)
      if (there === undefined) return `its layer ${layer.diffId} is missing`
    }
  }
  return undefined
}

async function checkSnapshots(store: Store): Promise<Checked> {
  const keys = await readdir(join(store.home, 'snapshots')).catch(() => [])
  const used = new Set(await linesOfRuns(store))
  const found: Found[] = []
  for (const key of keys) {
    if (await findSnapshot(store, key).catch(() => undefined) !== undefined) continue
    const mend = async (): Promise<boolean> => {
      if (used.has(`snapshots/${key}/tree`)) return false
      await discardSnapshot(store, key)
      return true
    }
    found.push({ kind: 'snapshot', what: key, why: 'its files are not those it was made with, or what lies below them is missing', mend })
  }
  return { count: keys.length, found }
}


import { readdir, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'

import { hexOf } from '../digest.js'
import { listCatalog, type StoredImage } from './catalog.js'
import { treeSize } from './du.js'
import { layerRooms } from './gc.js'
import { wantedLayers } from './image.js'
import { findReachable, idsOfRuns, linesOfRuns } from './reach.js'
import { listSnapshots } from './snapshots.js'
import { absent, type Store } from './store.js'

/** Bytes on the disk, as `du` counts them. */
export interface StoreUsage {
  readonly images: readonly ImageUsage[]
  /** Of all images together, what they share counted once. */
  readonly imageBytes: number
  readonly snapshots: readonly SnapshotUsage[]
  /** Scratch, logs and sockets of runs. */
  readonly runs: number
  /** What nothing leads to any more, and a collection takes away. */
  readonly garbage: number
}

export interface ImageUsage {
  readonly image: StoredImage
  /** Compressed and unpacked: `shared` with other images, and its own, which go with it. */
  readonly shared: number
  readonly unique: number
  /** Whether a live run uses it. */
  readonly active: boolean
}

export interface SnapshotUsage {
  readonly key: string
  readonly label: string
  readonly createdAt: Date
  readonly bytes: number
  readonly active: boolean
}

/** Where the space of the store went. Looks at every file: some milliseconds per thousand. */
export async function storeUsage(store: Store): Promise<StoreUsage> {
  const [parts, images, lines, ids, reachable] = await Promise.all([measure(store), listCatalog(store), linesOfRuns(store), idsOfRuns(store), findReachable(store)])
  const used = new Set(lines)
  const owners = new Map<string, number>()
  const keys = images.map(partsOf)
  for (const own of keys) for (const key of own) owners.set(key, (owners.get(key) ?? 0) + 1)
  const sum = (own: Iterable<string>): number => [...own].reduce((total, key) => total + (parts.get(key) ?? 0), 0)
  const imageUsage = images.map((image, index) => {
    const own = [...keys[index] ?? []]
    return {
      image, active: ids.has(image.id),
      shared: sum(own.filter((key) => (owners.get(key) ?? 0) > 1)), unique: sum(own.filter((key) => owners.get(key) === 1)),
    }
  })
  const lost = [...parts.keys()].filter((key) => !(key.startsWith('blob') ? reachable.blobs : reachable.layers).has(key.slice(5)))
  const left = await Promise.all(['ingest', 'trash'].map((name) => contentSize(join(store.home, name))))
  return {
    images: imageUsage,
    imageBytes: sum(owners.keys()),
    snapshots: await snapshotUsage(store, used),
    runs: await contentSize(join(store.home, 'runs')),
    garbage: sum(lost) + left.reduce((total, bytes) => total + bytes, 0),
  }
}

/** Says how many bytes images take together, compressed and unpacked, what they share counted once. */
export async function measureImages(store: Store): Promise<(images: readonly StoredImage[]) => number> {
  const parts = await measure(store)
  return (images) => [...new Set(images.flatMap((image) => [...partsOf(image)]))].reduce((total, key) => total + (parts.get(key) ?? 0), 0)
}

async function contentSize(directory: string): Promise<number> {
  const names = await readdir(directory).catch(absent([]))
  return (await Promise.all(names.map((name) => treeSize(join(directory, name))))).reduce((total, bytes) => total + bytes, 0)
}

/** Sizes of `blob:HEX` and `tree:HEX`. */
async function measure(store: Store): Promise<ReadonlyMap<string, number>> {
  const sizes = new Map<string, number>()
  const blobs = join(store.home, 'blobs', 'sha256')
  for (const name of await readdir(blobs)) sizes.set(`blob:${name}`, (await stat(join(blobs, name)).catch(absent(undefined)))?.blocks ?? 0)
  for (const [key, blocks] of sizes) sizes.set(key, blocks * 512)
  for (const room of await layerRooms(store)) {
    for (const name of await readdir(room)) sizes.set(`tree:${name}`, (sizes.get(`tree:${name}`) ?? 0) + await treeSize(join(room, name)))
  }
  return sizes
}

function partsOf({ digest, manifest, parsed, names }: StoredImage): Set<string> {
  const layers = wantedLayers(manifest.layers, parsed)
  return new Set([
    ...[digest, manifest.config.digest, ...names.map((name) => name.digest), ...layers.map(({ blob }) => blob.digest)].map((one) => `blob:${hexOf(one)}`),
    ...layers.flatMap(({ diffId, chainId }) => [`tree:${hexOf(diffId)}`, `tree:${hexOf(chainId)}`]),
  ])
}

async function snapshotUsage(store: Store, used: ReadonlySet<string>): Promise<SnapshotUsage[]> {
  return Promise.all((await listSnapshots(store)).map(async ({ key, label, createdAt }) => ({
    key, label, createdAt, active: used.has(join('snapshots', basename(key), 'tree')), bytes: await treeSize(join(store.home, 'snapshots', key)),
  })))
}

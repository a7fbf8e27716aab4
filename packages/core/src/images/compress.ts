import { mkdir, rename } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'

import { digestOf, hexOf, type Digest } from '../digest.js'
import { isMayflyError, MayflyError } from '../errors.js'
import { compressLayer, lockFile, type LayerSource } from '../layers/index.js'
import type { Descriptor } from '../registry/index.js'
import { turnsOf } from './fill.js'
import { loadManifest, wantedLayers } from './image.js'
import type { WantedLayer } from './layer.js'
import type { Lease } from './lease.js'
import { heldBlob } from './made.js'
import { findLayer, layerPath, rawRecord, writeLayerBlob } from './record.js'
import { isUnnamed, listRefs, readRef, removeRef, unnamed, writeRef, type RefRecord } from './refs.js'
import { blobPath, discardTree, hasBlob, readBlob, storeFailed, writeAtomically, type Store } from './store.js'

export interface CompressOptions {
  readonly signal?: AbortSignal | undefined
  /** Told of each layer before it is compressed, and after. */
  readonly onLayer?: ((layer: Descriptor, done: boolean) => void) | undefined
}

const GZIP = 'application/vnd.oci.image.layer.v1.tar+gzip'

/**
 * Gives an image the form in which others are to have it, and answers its manifest's digest: layers that were made here, of which the
 * store has the files alone, are compressed, each once, and names that meant the image as it was mean it as it is now. Its id
 * stays. Throws ERR_MAYFLY_STORE_FAILED, ERR_MAYFLY_ABORTED.
 */
export async function compressImage(store: Store, lease: Lease, digest: Digest, options: CompressOptions = {}): Promise<Digest> {
  const stored = await loadManifest(store, { familiar: digest }, digest)
  if (stored === undefined) return digest
  const wanted = wantedLayers(stored.manifest.layers, stored.parsed)
  const turns = turnsOf(availableParallelism())
  const blobs = await Promise.all(wanted.map(async (layer, index) => {
    // Only what was made here is called by its own content without being there.
    if (layer.blob.digest !== layer.diffId || await hasBlob(store, layer.blob)) return layer.blob
    return await turns(() => compressed(store, lease, wanted.slice(0, index + 1), options))
  }))
  if (blobs.every((blob, index) => blob === wanted[index]?.blob)) return digest
  const before = JSON.parse((await readBlob(store, digest))?.toString('utf8') ?? '{}') as Record<string, unknown>
  const manifest = Buffer.from(JSON.stringify({ ...before, layers: blobs }))
  const now = digestOf(manifest)
  await lease.hold(now)
  await writeAtomically(blobPath(store, now), manifest)
  await retarget(store, digest, now)
  return now
}

/** The compressed form of the topmost of these layers. */
async function compressed(store: Store, lease: Lease, layers: readonly WantedLayer[], { signal, onLayer }: CompressOptions): Promise<Descriptor> {
  const [layer] = layers.slice(-1)
  if (layer === undefined) throw new MayflyError('ERR_MAYFLY_INTERNAL', 'There is no layer to compress')
  const work = `gzip-${hexOf(layer.diffId)}`
  const lock = await lockFile(join(store.home, 'locks', work), signal)
  const ingest = join(store.home, 'ingest', work)
  try {
    const found = await findLayer(store, layer)
    const source = await layerSource(store, layers)
    if (found === undefined || source === undefined) throw gone(layer)
    const known = await heldBlob(store, lease, found.key)
    if (known !== undefined) return known
    onLayer?.(layer.blob, false)
    await discardTree(store, ingest)
    await mkdir(ingest, { recursive: true, mode: 0o700 })
    const { diffId, digest, size } = await compressLayer(source, join(ingest, 'blob'), signal)
    if (diffId !== layer.diffId) throw damaged(layer, diffId)
    const blob = { mediaType: GZIP, digest, size }
    await lease.hold(digest)
    await rename(join(ingest, 'blob'), blobPath(store, digest))
    await writeLayerBlob(layerPath(store, found.key), blob)
    onLayer?.(layer.blob, true)
    return blob
  } catch (error) {
    if (signal?.aborted === true) throw new MayflyError('ERR_MAYFLY_ABORTED', 'Compressing a layer was aborted', { cause: signal.reason })
    throw isMayflyError(error) ? error : storeFailed('A layer cannot be compressed', error)
  } finally {
    await discardTree(store, ingest)
    await lock.release()
  }
}

/** What the tar of the topmost of these layers was made of, and is made of again; `undefined` when some of them are not unpacked. */
export async function layerSource(store: Store, layers: readonly WantedLayer[]): Promise<LayerSource | undefined> {
  const found = await Promise.all(layers.map((layer) => findLayer(store, layer)))
  const [top, ...below] = found.reverse()
  if (top === undefined || below.includes(undefined)) return undefined
  const form = (await rawRecord(store, top.key))?.tar
  return { ...form, directory: top.directory, lowers: below.flatMap((layer) => layer?.directory ?? []) }
}

/** Those that meanwhile mean something else go on to do so. */
async function retarget(store: Store, before: Digest, now: Digest): Promise<void> {
  const means = ({ manifests }: RefRecord): boolean => Object.values(manifests).includes(before)
  for (const { reference } of (await listRefs(store)).filter(({ record }) => means(record))) {
    const record = await readRef(store, reference)
    if (record === undefined || !means(record)) continue
    const manifests = Object.fromEntries(Object.entries(record.manifests).map(([platform, one]) => [platform, one === before ? now : one]))
    await writeRef(store, isUnnamed(reference) ? unnamed(now) : reference, { ...record, manifests, digest: record.digest === before ? now : record.digest })
    if (isUnnamed(reference)) await removeRef(store, reference)
  }
}

function gone({ diffId }: WantedLayer): MayflyError {
  return new MayflyError('ERR_MAYFLY_STORE_FAILED', `The layer ${diffId} is not in the store, or one below it`, { hint: 'Build the image again.' })
}

function damaged({ diffId }: WantedLayer, actual: Digest): MayflyError {
  return new MayflyError('ERR_MAYFLY_STORE_FAILED', `The layer ${diffId} is damaged in the store: its files are those of ${actual}`, {
    hint: 'mayfly store verify --repair takes it away; then build the image again.',
  })
}

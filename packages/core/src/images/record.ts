import { access, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { hexOf, isDigest, type Digest } from '../digest.js'
import { syncAside } from '../layers/native.js'
import type { LayerSource } from '../layers/produce.js'
import type { StackLayer } from '../layers/stack.js'
import type { Descriptor } from '../registry/manifest.js'
import { blobPath, writeAtomically, type Store } from './store.js'

/** A layer of the store, whole. */
export interface StoredLayer extends StackLayer {
  readonly key: Digest
  /** When it was placed, milliseconds since 1970, while it is not known to have reached the disk. */
  readonly unsyncedSince?: number
}

export type LayerKind = 'diffId' | 'chainId'

interface LayerRecord {
  readonly diffId: Digest
  readonly kind: LayerKind
  readonly opaque: readonly string[]
  /** Bytes of its files; absent in records of earlier versions. */
  readonly size?: number | undefined
  /** Of a layer made here, how its tar is made of its files. */
  readonly tar?: Pick<LayerSource, 'latest' | 'whole'> | undefined
  /** The boot in which it was unpacked; absent once it is known to have reached the disk. */
  readonly bootId?: string
  /** Milliseconds since 1970. */
  readonly placedAt: number
}

/** By now the kernel has written nearly everything out by itself, so that a sync costs next to nothing. */
const SETTLED = 60_000

const RECORD = 'layer.json'
const SYNCED_RECORD = 'synced.json'
const BLOB = 'blob.json'

/** A layer's complete tree, or `undefined`. One of an earlier boot counts when it was synced before that ended. */
export async function findLayer(store: Store, { diffId, chainId }: { readonly diffId: Digest, readonly chainId: Digest }): Promise<StoredLayer | undefined> {
  return await readRecord(store, diffId, 'diffId') ?? await readRecord(store, chainId, 'chainId')
}

export async function readRecord(store: Store, key: Digest, kind: LayerKind): Promise<StoredLayer | undefined> {
  const directory = layerPath(store, key)
  try {
    const record = JSON.parse(await readFile(join(directory, RECORD), 'utf8')) as LayerRecord
    // Written by an earlier version: unpacked again.
    if (!Array.isArray(record.opaque)) return undefined
    const synced = record.bootId === undefined
    if (record.kind !== kind || (!synced && record.bootId !== store.bootId)) return undefined
    return { key, directory: join(directory, 'tree'), opaque: record.opaque, ...(synced ? {} : { unsyncedSince: record.placedAt }) }
  } catch {
    return undefined
  }
}

/** Writes the record of a tree that lies beside it, and the one that takes its place after a sync. */
export async function writeRecord(
  directory: string, store: Store, { diffId, kind, opaque, size, tar }: Pick<LayerRecord, 'diffId' | 'kind' | 'opaque' | 'size' | 'tar'>,
): Promise<void> {
  const record: LayerRecord = { diffId, kind, opaque, placedAt: Date.now(), size, tar }
  await writeFile(join(directory, SYNCED_RECORD), JSON.stringify(record), { mode: 0o600 })
  await writeFile(join(directory, RECORD), JSON.stringify({ ...record, bootId: store.bootId }), { mode: 0o600 })
}

/** Bytes of a layer's files; `undefined` when it is not unpacked, or was by an earlier version. */
export async function layerSize(store: Store, { diffId, chainId }: { readonly diffId: Digest, readonly chainId: Digest }): Promise<number | undefined> {
  return (await rawRecord(store, diffId))?.size ?? (await rawRecord(store, chainId))?.size
}

/** What a layer's record says, whatever it is worth. */
export async function rawRecord(store: Store, key: Digest): Promise<Partial<LayerRecord> | undefined> {
  try {
    const record: unknown = JSON.parse(await readFile(join(layerPath(store, key), RECORD), 'utf8'))
    return typeof record === 'object' && record !== null ? record : undefined
  } catch {
    return undefined
  }
}

/** The blob that a layer came from, or was compressed into; `undefined` where the store has none. */
export async function layerBlob(store: Store, key: Digest): Promise<Descriptor | undefined> {
  try {
    const { mediaType, digest, size } = JSON.parse(await readFile(join(layerPath(store, key), BLOB), 'utf8')) as Partial<Descriptor>
    if (typeof mediaType !== 'string' || !isDigest(digest) || typeof size !== 'number') return undefined
    await access(blobPath(store, digest))
    return { mediaType, digest, size }
  } catch {
    return undefined
  }
}

/** Notes the blob of a layer in the directory that its tree lies in. */
export async function writeLayerBlob(directory: string, { mediaType, digest, size }: Descriptor): Promise<void> {
  await writeAtomically(join(directory, BLOB), JSON.stringify({ mediaType, digest, size }))
}

const begun = new Set<Digest>()

/** Has those layers synced, aside, that have lain long enough: nothing of a test run waits for a disk. */
export function syncSettled(store: Store, layers: readonly StoredLayer[]): void {
  const old = layers.filter(({ key, unsyncedSince }) => unsyncedSince !== undefined && Date.now() - unsyncedSince > SETTLED && !begun.has(key))
  syncLayers(store, old.map(({ key }) => key))
}

/** Has layers synced, aside. */
export function syncLayers(store: Store, keys: readonly Digest[]): void {
  if (keys.length === 0) return
  for (const key of keys) begun.add(key)
  syncAside(store.layers, keys.map((key) => [join(hexOf(key), SYNCED_RECORD), join(hexOf(key), RECORD)] as const))
}

export function layerPath(store: Store, key: Digest): string {
  return join(store.layers, hexOf(key))
}

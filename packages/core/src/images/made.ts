import { mkdir, rename } from 'node:fs/promises'

import type { Digest } from '../digest.js'
import type { LayerSource, MeasuredLayer } from '../layers/index.js'
import type { Descriptor } from '../registry/index.js'
import type { Lease } from './lease.js'
import { findLayer, layerBlob, layerPath, writeRecord } from './record.js'
import { discardTree, hasBlob, type Store } from './store.js'

/** A layer that was made here, its tree in a directory of its own. */
export interface MadeLayer {
  readonly measured: MeasuredLayer
  readonly chainId: Digest
  /** What lies in it as `tree` is the layer; it becomes the layer's place in the store. */
  readonly place: string
  /** How its tar is made of its files. */
  readonly tar: Pick<LayerSource, 'latest' | 'whole'>
}

/**
 * Brings a layer into the store, unless it is there, and answers how it stands in a manifest. Of what was made here the store has the
 * files alone: they are packed when somebody else is to have them.
 */
export async function placeMade(store: Store, lease: Lease, { measured: { diffId, size, files, opaque }, chainId, place, tar }: MadeLayer): Promise<Descriptor> {
  await lease.hold(diffId, chainId)
  const there = await findLayer(store, { diffId, chainId })
  if (there === undefined) {
    await writeRecord(place, store, { diffId, kind: 'chainId', opaque, size: files, tar })
    await mkdir(store.layers, { recursive: true, mode: 0o700 })
    await discardTree(store, layerPath(store, chainId))
    await rename(place, layerPath(store, chainId)).catch(alreadyThere)
  }
  return await heldBlob(store, lease, there?.key ?? chainId) ?? asMade(diffId, size)
}

function alreadyThere(error: unknown): void {
  const { code } = error as NodeJS.ErrnoException
  if (!['ENOENT', 'ENOTEMPTY', 'EEXIST'].includes(code ?? '')) throw error
}

/** A layer made here as it stands in a manifest as long as nobody else has it: its tar, of which the store has the files alone. */
export function asMade(diffId: Digest, size: number): Descriptor {
  return { mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: diffId, size }
}

/** The blob that a layer came from, or was compressed into, held by the lease. */
export async function heldBlob(store: Store, lease: Lease, key: Digest): Promise<Descriptor | undefined> {
  const blob = await layerBlob(store, key)
  if (blob === undefined) return undefined
  await lease.hold(blob.digest)
  // Unless it was collected meanwhile.
  return await hasBlob(store, blob) ? blob : undefined
}

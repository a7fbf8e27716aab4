import { mkdir, rename } from 'node:fs/promises'
import { dirname, join } from 'node:path'

import { chainIds, type Digest } from '../digest.js'
import { blobPath, discardTree, findLayer, layerPath, writeLayerRecord } from '../images/index.js'
import type { Build } from './builder.js'
import type { BuildState } from './state.js'

/** A layer of a finished image. */
export interface KeptLayer {
  readonly diffId: Digest
  readonly mediaType: string
  readonly digest: Digest
  readonly size: number
}

const GZIP = 'application/vnd.oci.image.layer.v1.tar+gzip'

/** Brings the layers of a state into the store, with their blobs, and tells the cache. Harmless to repeat. */
export async function keepLayers(build: Build, { layers }: Pick<BuildState, 'layers'>): Promise<readonly KeptLayer[]> {
  const { store } = build
  await Promise.allSettled(build.packing)
  const kept: KeptLayer[] = []
  for (const layer of layers) {
    if (layer.kind === 'stored') {
      kept.push({ diffId: layer.diffId, ...layer.blob })
      continue
    }
    const produced = await layer.fresh.produced
    const diffIds = [...kept.map(({ diffId }) => diffId), produced.diffId]
    const chainId = chainIds(diffIds).at(-1) ?? produced.diffId
    const { diffId, digest, size } = produced
    await build.lease.hold(digest, diffId, chainId)
    await rename(layer.fresh.blob, blobPath(store, digest)).catch(alreadyThere)
    const { directory } = layer.tree
    if (await findLayer(store, { diffId, chainId }) === undefined) {
      const place = dirname(directory)
      await writeLayerRecord(place, store, { diffId, kind: 'chainId', opaque: produced.opaque })
      await mkdir(store.layers, { recursive: true, mode: 0o700 })
      await discardTree(store, layerPath(store, chainId))
      await rename(place, layerPath(store, chainId)).catch(alreadyThere)
    }
    await build.cache.keep(layer.cacheKey, { diffId, digest, size, chainId, createdAt: layer.createdAt })
    kept.push({ diffId, digest, size, mediaType: GZIP })
  }
  return kept
}

function alreadyThere(error: unknown): void {
  const { code } = error as NodeJS.ErrnoException
  if (!['ENOENT', 'ENOTEMPTY', 'EEXIST'].includes(code ?? '')) throw error
}

/** Where a layer is made: the directory that becomes its place in the store, its tree inside. */
export function layerPlace(place: string): { readonly directory: string; readonly blob: string } {
  return { directory: join(place, 'tree'), blob: `${place}.blob` }
}

import { dirname, join } from 'node:path'

import { chainIds, type Digest } from '../digest.js'
import { placeMade } from '../images/index.js'
import type { Build } from './builder.js'
import type { BuildState } from './state.js'

/** A layer of a finished image. */
export interface KeptLayer {
  readonly diffId: Digest
  readonly mediaType: string
  readonly digest: Digest
  readonly size: number
}

/** Brings the layers of a state into the store, and tells the cache. Harmless to repeat. */
export async function keepLayers(build: Build, { layers }: Pick<BuildState, 'layers'>): Promise<readonly KeptLayer[]> {
  const { store } = build
  // Those below one that is being measured must stay where they are.
  await Promise.allSettled(build.measuring)
  const kept: KeptLayer[] = []
  for (const layer of layers) {
    if (layer.kind === 'stored') {
      kept.push({ diffId: layer.diffId, ...layer.blob })
      continue
    }
    const measured = await layer.fresh.measured
    const { diffId, size } = measured
    const chainId = chainIds([...kept.map(one => one.diffId), diffId]).at(-1) ?? diffId
    const { latest, whole } = layer.fresh.source
    const blob = await placeMade(store, build.lease, { measured, chainId, place: dirname(layer.tree.directory), tar: { latest, whole } })
    build.placed.add(chainId)
    await build.cache.keep(layer.cacheKey, { diffId, digest: diffId, size, chainId, createdAt: layer.createdAt })
    kept.push({ diffId, ...blob })
  }
  return kept
}

/** Where a layer's tree is made, in the directory that becomes its place in the store. */
export function layerPlace(place: string): string {
  return join(place, 'tree')
}

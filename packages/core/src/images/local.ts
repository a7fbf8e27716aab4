import { existsSync } from 'node:fs'

import { formatPlatform, type Platform } from '../platform.js'
import type { Reference } from '../reference.js'
import { loadImage, type Image } from './image.js'
import { readRef, refStamp } from './refs.js'
import type { Store } from './store.js'

const resolved = new Map<string, { stamp: string, image: Image }>()

/** What the store has of a reference, whole; undefined when something of it is missing. Loads nothing that asks registries. */
export async function findLocally(store: Store, reference: Reference, platform: Platform): Promise<Image | undefined> {
  const key = `${store.home} ${store.bootId} ${formatPlatform(platform)} ${reference}`
  const stamp = await refStamp(store, reference)
  if (stamp === undefined) return undefined
  const known = resolved.get(key)
  if (known?.stamp === stamp && known.image.layers.every((layer) => existsSync(layer))) return known.image
  const digest = (await readRef(store, reference))?.manifests[formatPlatform(platform)]
  const image = digest === undefined ? undefined : await loadImage(store, reference, digest)
  if (image !== undefined) resolved.set(key, { stamp, image })
  return image
}

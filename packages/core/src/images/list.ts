import { hostPlatform, formatPlatform } from '../platform.js'
import { loadImage, type Image } from './image.js'
import { listRefs } from './refs.js'
import type { Store } from './store.js'

export interface ListedImage extends Image {
  /** When it was last pulled, milliseconds since 1970. */
  readonly pulledAt: number
}

/** The images of this machine's platform that the store holds whole, by name. */
export async function listImages(store: Store): Promise<ListedImage[]> {
  const refs = await listRefs(store)
  const images = await Promise.all(refs.map(async ({ reference, record }) => {
    const digest = record.manifests[formatPlatform(hostPlatform())]
    const image = digest === undefined ? undefined : await loadImage(store, reference, digest)
    return image === undefined ? [] : [{ ...image, pulledAt: record.pulledAt }]
  }))
  return images.flat().sort((a, b) => a.reference.toString() < b.reference.toString() ? -1 : 1)
}

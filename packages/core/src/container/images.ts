import { collectGarbage, openStore, removeImage as remove, type Garbage, type ImageUser, type RemovedImage, type StoredImage } from '../images/index.js'
import { noteNow } from './journal.js'
import { listContainers } from './runs.js'

/** Containers of live runs, as far as they stand in the way of a removal. */
async function imageUsers(): Promise<ImageUser[]> {
  return (await listContainers()).map(({ name, imageId, state, kept }) => ({ name, imageId, running: state !== 'exited' && (state !== 'created' || kept === undefined) }))
}

/**
 * Takes a name away from an image, and the image with its last one; `force` also with several names, or with ended
 * containers. Named by reference, id or the beginning of an id. Throws ERR_MAYFLY_IMAGE_NOT_FOUND, ERR_MAYFLY_IMAGE_IN_USE.
 */
export async function removeImage(text: string, { force = false }: { readonly force?: boolean | undefined } = {}): Promise<RemovedImage> {
  return remove(await openStore(), text, { force, users: await imageUsers() })
}

export interface PruneImagesOptions {
  /** All images that no container is made from; else only those without a name. Default false. */
  readonly all?: boolean | undefined
  /** Further conditions. */
  readonly filter?: ((image: StoredImage) => boolean) | undefined
  /** Only images that were not used for so many milliseconds. */
  readonly unusedFor?: number | undefined
  /** Bytes of the store's images; the least recently used go until the others take no more. Implies `all`. */
  readonly cap?: number | undefined
}

/** Removes images that nobody uses, and what nothing leads to. Throws ERR_MAYFLY_STORE_FAILED. */
export async function pruneImages({ all = false, filter = () => true, unusedFor = 0, cap }: PruneImagesOptions = {}): Promise<Garbage> {
  const store = await openStore()
  const used = new Set((await imageUsers()).map(({ imageId }) => imageId))
  const { isUnnamed, measureImages, noteImage, untaggedNames } = await import('../images/index.js')
  const sizeOf = cap === undefined ? undefined : await measureImages(store)
  const before = Date.now() - unusedFor
  const garbage = await collectGarbage(store, {
    retire: (idle, stored) => {
      const candidates = idle.filter((image) => !used.has(image.id) && image.usedAt <= before && filter(image)
        && (all || cap !== undefined || image.names.every(({ reference }) => isUnnamed(reference))))
      if (sizeOf === undefined || cap === undefined) return candidates
      // What is shared goes with the last who has it.
      let staying = stored
      return [...candidates].sort((a, b) => a.usedAt - b.usedAt).filter((image) => {
        if (sizeOf(staying) <= cap) return false
        staying = staying.filter(({ digest }) => digest !== image.digest)
        return true
      })
    },
  })
  for (const { names, id } of garbage.images) {
    for (const name of untaggedNames(names, [])) noteImage(store, 'untag', id, name)
    noteImage(store, 'delete', id)
  }
  noteNow(store.home, { type: 'image', action: 'prune', id: '', attributes: { reclaimed: String(garbage.bytes) } })
  return garbage
}

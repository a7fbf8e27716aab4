import type { Digest } from '../digest.js'
import { MayflyError } from '../errors.js'
import { chooseImage, listCatalog, type StoredImage, type StoredName } from './catalog.js'
import { collectGarbage } from './gc.js'
import { noteImage } from './journal.js'
import { repositoryOf, withTag } from './names.js'
import { isUnnamed, removeRef } from './refs.js'
import type { Store } from './store.js'

/** A container, as far as it stands in the way of a removal. */
export interface ImageUser {
  readonly name: string
  readonly imageId: string
  readonly running: boolean
}

export interface RemoveImageOptions {
  /** Remove an image that has several names when it is given by its id, or one that ended containers were made from. */
  readonly force?: boolean | undefined
  /** Containers there are. */
  readonly users?: readonly ImageUser[] | undefined
}

export interface RemovedImage {
  readonly untagged: readonly string[]
  /** The image, then its layers, as far as nobody else has them. */
  readonly deleted: readonly Digest[]
}

/**
 * Takes a name away, and the image with its last one. Throws ERR_MAYFLY_IMAGE_NOT_FOUND, and ERR_MAYFLY_IMAGE_IN_USE while
 * containers are made from it.
 */
export async function removeImage(store: Store, text: string, { force = false, users = [] }: RemoveImageOptions = {}): Promise<RemovedImage> {
  const all = await listCatalog(store)
  const { image, name } = chooseImage(all, text)
  const same = all.filter(({ id }) => id === image.id)
  const names = same.flatMap((one) => one.names)
  const others = name === undefined ? [] : names.filter((one) => one !== name)
  const leaving = name === undefined ? names : others.length > 0 ? [name] : names
  if (others.length === 0) refuseUsed(image, text, users, force)
  if (name === undefined && !force && repositories(names).size > 1) {
    throw inUse(text, 'it has names in several repositories', 'Remove it by its names, or by its id with -f.')
  }
  for (const { reference } of leaving) await removeRef(store, reference)
  const untagged = untaggedNames(leaving, others)
  for (const name of untagged) noteImage(store, 'untag', image.id, name)
  if (leaving.length < names.length) return { untagged, deleted: [] }
  const { layers } = await collectGarbage(store)
  noteImage(store, 'delete', image.id)
  return { untagged, deleted: [image.id, ...layers] }
}

function refuseUsed({ id }: StoredImage, text: string, users: readonly ImageUser[], force: boolean): void {
  const using = users.filter(({ imageId }) => imageId === id)
  const running = using.find((one) => one.running)
  if (running !== undefined) throw inUse(text, `the running container ${running.name} is made from it`, `Stop it first: mayfly stop ${running.name}`)
  const [ended] = using
  if (ended !== undefined && !force) throw inUse(text, `the ended container ${ended.name} was made from it`, 'Remove the container first, or the image with -f.')
}

function inUse(text: string, why: string, hint: string): MayflyError {
  return new MayflyError('ERR_MAYFLY_IMAGE_IN_USE', `The image ${text} cannot be removed: ${why}`, { hint })
}

function repositories(names: readonly StoredName[]): Set<string> {
  return new Set(names.map(({ reference }) => repositoryOf(reference.familiar)))
}

/** As Docker prints them: the digest of a repository goes with its last tag. */
export function untaggedNames(leaving: readonly StoredName[], staying: readonly StoredName[]): string[] {
  const kept = repositories(staying)
  const named = leaving.filter(({ reference }) => !isUnnamed(reference))
  const digests = named.flatMap(({ reference, digest }) => {
    const repository = repositoryOf(reference.familiar)
    return kept.has(repository) ? [] : [`${repository}@${digest}`]
  })
  return [...new Set([...named.flatMap(({ reference }) => reference.digest === undefined ? [withTag(reference.familiar)] : []), ...digests])]
}

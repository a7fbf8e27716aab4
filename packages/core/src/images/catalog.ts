import { readFile, stat } from 'node:fs/promises'

import { chainIds, isDigest, type Digest } from '../digest.js'
import { MayflyError } from '../errors.js'
import { formatPlatform, hostPlatform } from '../platform.js'
import { parseReference, type Reference } from '../reference.js'
import type { ImageManifest } from '../registry/index.js'
import type { ParsedConfig } from './config.js'
import { loadManifest } from './image.js'
import { layerSize } from './record.js'
import { listRefs, type RefRecord } from './refs.js'
import { blobPath, type Store } from './store.js'

/** An image by its id, with all its names. Its layers need not be unpacked. */
export interface StoredImage {
  /** Digest of the configuration. */
  readonly id: Digest
  /** Digest of the platform's manifest. */
  readonly digest: Digest
  /** Tags and pinned digests it is known by; one that has none is kept under a name that `isUnnamed` tells. */
  readonly names: readonly StoredName[]
  readonly manifest: ImageManifest
  readonly parsed: ParsedConfig
  /** When it was made, as it says itself. */
  readonly created: Date | undefined
  /** Bytes of the unpacked layers; of those that are not unpacked, of the compressed ones. */
  readonly size: number
  /** When it was last pulled or looked up to be run, milliseconds since 1970. */
  readonly usedAt: number
}

export interface StoredName {
  readonly reference: Reference
  /** What the name pointed at: the manifest, or the index over several platforms. */
  readonly digest: Digest
  readonly origin: string
  readonly pulledAt: number
}

/** All images of this machine's platform whose documents are in the store, the newest first. */
export async function listCatalog(store: Store): Promise<StoredImage[]> {
  const platform = formatPlatform(hostPlatform())
  const byManifest = new Map<Digest, { reference: Reference, record: RefRecord }[]>()
  for (const ref of await listRefs(store)) {
    const digest = ref.record.manifests[platform] ?? Object.values(ref.record.manifests)[0]
    if (digest !== undefined) byManifest.set(digest, [...byManifest.get(digest) ?? [], ref])
  }
  const images = await Promise.all([...byManifest].map(([digest, refs]) => storedImage(store, digest, refs)))
  return images.filter((image) => image !== undefined).sort((a, b) => Number(b.created ?? 0) - Number(a.created ?? 0) || (a.id < b.id ? -1 : 1))
}

async function storedImage(store: Store, digest: Digest, refs: readonly { reference: Reference, record: RefRecord }[]): Promise<StoredImage | undefined> {
  const [first] = refs
  const stored = first === undefined ? undefined : await loadManifest(store, first.reference, digest).catch(() => undefined)
  if (stored === undefined) return undefined
  const { manifest, parsed } = stored
  const names = refs.map(({ reference, record: { digest: top, origin, pulledAt } }) => ({ reference, digest: top, origin, pulledAt }))
  const made = parsed.created === undefined ? undefined : new Date(parsed.created)
  const image = {
    id: manifest.config.digest, digest, manifest, parsed,
    names: names.sort((a, b) => (String(a.reference) < String(b.reference) ? -1 : 1)),
    created: made === undefined || Number.isNaN(made.getTime()) ? undefined : made,
    size: 0,
    usedAt: await stat(blobPath(store, digest)).then(({ mtimeMs }) => mtimeMs, () => 0),
  }
  return { ...image, size: (await layerSizes(store, image)).reduce((sum, size) => sum + size, 0) }
}

/** Bytes of each layer, bottom first; of one that is not unpacked, the compressed ones. */
export async function layerSizes(store: Store, { manifest, parsed: { diffIds } }: Pick<StoredImage, 'manifest' | 'parsed'>): Promise<number[]> {
  const chain = chainIds(diffIds)
  return Promise.all(manifest.layers.map(async (blob, index) => {
    const [diffId, chainId] = [diffIds[index], chain[index]]
    return (diffId === undefined || chainId === undefined ? undefined : await layerSize(store, { diffId, chainId })) ?? blob.size
  }))
}

/**
 * The image that a user means: by name, by whole id or digest, or by the beginning of an id. Throws
 * ERR_MAYFLY_IMAGE_NOT_FOUND, also when an id's beginning fits several.
 */
export function chooseImage(all: readonly StoredImage[], text: string): { readonly image: StoredImage, readonly name?: StoredName } {
  const id = /^(?:sha256:)?([0-9a-f]{1,64})$/.exec(text)?.[1]
  const whole = `sha256:${id ?? ''}`
  const exact = isDigest(whole) ? all.find((image) => image.id === whole || image.digest === whole) : undefined
  if (exact !== undefined) return { image: exact }
  const named = text.startsWith('sha256:') ? undefined : byName(all, text)
  if (named !== undefined) return named
  const begun = id === undefined ? [] : all.filter((image) => image.id.startsWith(whole))
  const [only, ...others] = [...new Map(begun.map((image) => [image.id, image])).values()]
  if (only !== undefined && others.length === 0) return { image: only }
  if (only === undefined) throw new MayflyError('ERR_MAYFLY_IMAGE_NOT_FOUND', `No such image: ${text}`, { hint: 'mayfly images lists them.' })
  throw new MayflyError('ERR_MAYFLY_IMAGE_NOT_FOUND', `${text} is the beginning of several image ids: ${[only, ...others].map((one) => one.id.slice(7, 23)).join(', ')}`, {
    hint: 'Give more of the id.',
  })
}

function byName(all: readonly StoredImage[], text: string): { image: StoredImage, name: StoredName } | undefined {
  let wanted: string
  try {
    wanted = String(parseReference(text))
  } catch {
    return undefined
  }
  for (const image of all) {
    const name = image.names.find(({ reference }) => String(reference) === wanted)
    if (name !== undefined) return { image, name }
  }
  // A pinned name also stands for an image that came by a tag.
  const { digest, registry, repository } = parseReference(text)
  if (digest === undefined) return undefined
  for (const image of all) {
    const name = image.names.find((one) => one.digest === digest && one.reference.registry === registry && one.reference.repository === repository)
    if (name !== undefined) return { image, name }
  }
  return undefined
}

/** The configuration as the image has it, with what Mayfly itself has no use for. */
export async function rawConfig(store: Store, { id }: Pick<StoredImage, 'id'>): Promise<Readonly<Record<string, unknown>>> {
  return JSON.parse(await readFile(blobPath(store, id), 'utf8')) as Record<string, unknown>
}

import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import type { Writable } from 'node:stream'

import type { Pack } from 'tar-stream'

import { digestFromHex, hexOf, type Digest } from '../../digest.js'
import { MayflyError } from '../../errors.js'
import { chooseImage, listCatalog, type StoredImage, type StoredName } from '../catalog.js'
import { compressImage } from '../compress.js'
import { loadManifest } from '../image.js'
import { noteImage } from '../journal.js'
import { openLease, type Lease } from '../lease.js'
import { withTag } from '../names.js'
import { isUnnamed } from '../refs.js'
import { blobPath, type Store } from '../store.js'

export interface SaveOptions {
  readonly signal?: AbortSignal | undefined
}

interface Chosen {
  readonly image: StoredImage
  /** Those the archive is to say. */
  readonly names: readonly StoredName[]
}

/**
 * Writes images as one archive: an OCI layout with Docker's `manifest.json`, which Docker, podman and skopeo read. An image
 * given by a name is saved under that, one given by its id under all its names. The same images give the same bytes. Throws
 * ERR_MAYFLY_IMAGE_NOT_FOUND, ERR_MAYFLY_DIGEST_MISMATCH, ERR_MAYFLY_ABORTED.
 */
export async function saveImages(store: Store, texts: readonly string[], to: Writable, { signal }: SaveOptions = {}): Promise<void> {
  await using lease = await openLease(store, signal)
  await lease.hold(...(await choose(store, texts)).map(({ image }) => image.digest))
  // Looked up again: what was removed before the lease is gone, and what is there now stays.
  const chosen: Chosen[] = []
  for (const one of await choose(store, texts)) chosen.push(await forOthers(store, lease, one, signal))
  const { pack } = await import('tar-stream')
  const tar = pack()
  const writing = pipeline(tar, to, signal === undefined ? {} : { signal })
  const filling = fill(store, tar, chosen)
  filling.catch((error: unknown) => { tar.destroy(error as Error) })
  const [filled, written] = await Promise.allSettled([filling, writing])
  if (filled.status === 'rejected') throw filled.reason
  if (written.status === 'rejected') {
    if (signal?.aborted === true) throw new MayflyError('ERR_MAYFLY_ABORTED', 'The save was aborted', { cause: signal.reason })
    throw written.reason
  }
  for (const { image: { id }, names: [name] } of chosen) noteImage(store, 'save', id, name === undefined ? undefined : withTag(name.reference.familiar))
}

/** Layers that were made here are compressed. */
async function forOthers(store: Store, lease: Lease, { image, names }: Chosen, signal: AbortSignal | undefined): Promise<Chosen> {
  const digest = await compressImage(store, lease, image.digest, { signal })
  const stored = await loadManifest(store, { familiar: image.id }, digest)
  return { names, image: stored === undefined ? image : { ...image, ...stored } }
}

async function choose(store: Store, texts: readonly string[]): Promise<Chosen[]> {
  const all = await listCatalog(store)
  const found = new Map<Digest, Chosen>()
  for (const text of texts) {
    const { image, name } = chooseImage(all, text)
    const known = found.get(image.digest)?.names ?? []
    const names = name === undefined ? image.names.filter(({ reference }) => !isUnnamed(reference)) : [name]
    found.set(image.digest, { image, names: [...new Set([...known, ...names])] })
  }
  return [...found.values()]
}

async function fill(store: Store, tar: Pack, chosen: readonly Chosen[]): Promise<void> {
  await directory(tar, 'blobs')
  await directory(tar, 'blobs/sha256')
  const done = new Set<Digest>()
  const descriptors: object[] = []
  for (const { image, names } of chosen) {
    const { digest, manifest } = image
    const bytes = await readFile(blobPath(store, digest))
    for (const one of [{ digest, size: bytes.length }, manifest.config, ...manifest.layers]) {
      if (done.has(one.digest)) continue
      done.add(one.digest)
      await blob(store, tar, one)
    }
    const { mediaType = 'application/vnd.oci.image.manifest.v1+json' } = JSON.parse(bytes.toString('utf8')) as { mediaType?: string }
    const descriptor = { mediaType, digest, size: bytes.length }
    const tags = tagged(names)
    descriptors.push(...tags.length === 0 ? [descriptor] : tags.map(({ full, tag }) => (
      { ...descriptor, annotations: { 'io.containerd.image.name': full, 'org.opencontainers.image.ref.name': tag } })))
  }
  await file(tar, 'index.json', { schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests: descriptors })
  await file(tar, 'manifest.json', chosen.map(({ image: { manifest }, names }) => ({
    Config: nameOf(manifest.config.digest),
    RepoTags: tagged(names).map(({ familiar }) => familiar),
    Layers: manifest.layers.map((layer) => nameOf(layer.digest)),
  })))
  await file(tar, 'oci-layout', { imageLayoutVersion: '1.0.0' })
  await file(tar, 'repositories', repositories(chosen))
  tar.finalize()
}

function tagged(names: readonly StoredName[]): { full: string, familiar: string, tag: string }[] {
  return names.flatMap(({ reference }) => {
    if (reference.digest !== undefined) return []
    const tag = reference.tag ?? 'latest'
    return [{ full: `${reference.registry}/${reference.repository}:${tag}`, familiar: withTag(reference.familiar), tag }]
  })
}

/** What the oldest readers look at: the top layer of each name. */
function repositories(chosen: readonly Chosen[]): Record<string, Record<string, string>> {
  const found: Record<string, Record<string, string>> = {}
  for (const { image, names } of chosen) {
    const top = image.manifest.layers.at(-1)
    for (const { familiar, tag } of top === undefined ? [] : tagged(names)) {
      const name = familiar.slice(0, -tag.length - 1)
      found[name] = { ...found[name], [tag]: top === undefined ? '' : hexOf(top.digest) }
    }
  }
  return found
}

function nameOf(digest: Digest): string {
  return `blobs/sha256/${hexOf(digest)}`
}

const OLD = new Date(0)

async function directory(tar: Pack, name: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    tar.entry({ name: `${name}/`, type: 'directory', mode: 0o755, mtime: OLD }, (error) => { if (error == null) resolve(); else reject(error) })
  })
}

async function file(tar: Pack, name: string, content: object): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    tar.entry({ name, mode: 0o644, mtime: OLD }, JSON.stringify(content), (error) => { if (error == null) resolve(); else reject(error) })
  })
}

async function blob(store: Store, tar: Pack, { digest, size }: { readonly digest: Digest, readonly size: number }): Promise<void> {
  const hash = createHash('sha256')
  const source = createReadStream(blobPath(store, digest), { highWaterMark: 256 * 1024 })
  source.on('data', (chunk) => hash.update(chunk))
  try {
    await pipeline(source, tar.entry({ name: nameOf(digest), size, mode: 0o644, mtime: OLD }))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    throw new MayflyError('ERR_MAYFLY_IMAGE_NOT_FOUND', `The blob ${digest} is not in the store`, { cause: error, hint: 'Pull the image again.' })
  }
  const actual = digestFromHex(hash.digest('hex'))
  if (actual === digest) return
  throw new MayflyError('ERR_MAYFLY_DIGEST_MISMATCH', `A blob of the store has the digest ${actual} instead of ${digest}`, {
    hint: 'The store is damaged: mayfly store verify --repair, then pull the image again.',
  })
}

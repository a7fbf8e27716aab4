import { setMaxListeners } from 'node:events'

import type { Digest } from '../digest.js'
import { MayflyError } from '../errors.js'
import { formatPlatform, hostPlatform } from '../platform.js'
import type { Reference } from '../reference.js'
import { parseManifest, uploadBlob, uploadManifest, type Descriptor, type ImageManifest, type Uploaded } from '../registry/index.js'
import { compressImage } from './compress.js'
import { loadManifest } from './image.js'
import { noteImage } from './journal.js'
import { openLease, type Lease } from './lease.js'
import { repositoryOf, withTag } from './names.js'
import { listRefs, readRef, writeRef, type RefRecord } from './refs.js'
import { blobPath, hasBlob, readBlob, type Store } from './store.js'

export interface PushProgress {
  readonly blob: Digest
  readonly size: number
  /** `compressing`, under its digest while it is not: a layer that was made here, and goes to others for the first time. */
  readonly state: 'compressing' | 'compressed' | 'waiting' | 'sending' | Uploaded
  readonly done: number
}

export interface PushOptions {
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: PushProgress) => void) | undefined
}

/**
 * Brings an image of the store to the registry its name says, byte for byte as it was pulled; layers that were built here are compressed first, once. Its blobs go first,
 * those that other repositories there have already by mounting them, its manifests last. All platforms go where the store
 * has them all. Answers the digest of what the name then means. Throws ERR_MAYFLY_IMAGE_NOT_FOUND,
 * ERR_MAYFLY_REGISTRY_UNAUTHORIZED, ERR_MAYFLY_REGISTRY_UNAVAILABLE, ERR_MAYFLY_ABORTED.
 */
export async function pushImage(store: Store, reference: Reference, options: PushOptions = {}): Promise<Digest> {
  await using lease = await openLease(store, options.signal)
  await compressNamed(store, lease, reference, options)
  const record = await readRef(store, reference)
  const own = ownManifest(record)
  if (record === undefined || own === undefined) {
    throw new MayflyError('ERR_MAYFLY_IMAGE_NOT_FOUND', `The store has no image ${reference.familiar}`, { hint: 'mayfly images lists what it has; mayfly tag gives one another name.' })
  }
  await lease.hold(record.digest, own)
  const whole = record.digest === own ? undefined : await wholeIndex(store, record.digest, reference)
  const manifests = whole?.manifests ?? [own]
  const siblings = await repositoriesBeside(store, reference)
  const documents = await Promise.all(manifests.map(digest => document(store, digest, reference)))
  const blobs = new Map(documents.flatMap(({ manifest }) => [manifest.config, ...manifest.layers]).map((blob) => [blob.digest, blob]))
  await sendAll(store, reference, [...blobs.values()], siblings, options)
  const name = reference.tag ?? (reference.digest === undefined ? 'latest' : undefined)
  for (const { digest, bytes, mediaType } of documents) {
    await uploadManifest(reference, bytes, mediaType, whole === undefined ? name ?? digest : digest, options.signal)
  }
  if (whole !== undefined) await uploadManifest(reference, whole.bytes, whole.mediaType, name ?? record.digest, options.signal)
  noteImage(store, 'push', withTag(reference.familiar), repositoryOf(reference.familiar))
  return whole === undefined ? own : record.digest
}

async function compressNamed(store: Store, lease: Lease, reference: Reference, { signal, onProgress }: PushOptions): Promise<void> {
  const digest = ownManifest(await readRef(store, reference))
  if (digest === undefined) return
  await lease.hold(digest)
  await compressImage(store, lease, digest, {
    signal, onLayer: ({ digest: blob, size }, done) => onProgress?.({ blob, size, state: done ? 'compressed' : 'compressing', done: done ? size : 0 }),
  })
}

/** This machine's, or the only one there is. */
function ownManifest(record: RefRecord | undefined): Digest | undefined {
  return record?.manifests[formatPlatform(hostPlatform())] ?? Object.values(record?.manifests ?? {})[0]
}

/** Gives an image another name. Throws ERR_MAYFLY_IMAGE_NOT_FOUND. */
export async function tagImage(store: Store, from: Reference, to: Reference): Promise<void> {
  if (to.digest !== undefined) throw new MayflyError('ERR_MAYFLY_REFERENCE_INVALID', `${to.familiar} is no tag`, { hint: 'A name that ends in a digest is given by what the image is.' })
  const record = await readRef(store, from)
  if (record === undefined) throw new MayflyError('ERR_MAYFLY_IMAGE_NOT_FOUND', `The store has no image ${from.familiar}`, { hint: 'mayfly images lists what it has.' })
  await writeRef(store, to, record)
  await noteTag(store, to, ownManifest(record))
}

/** Under the image's id, which its manifest names. */
async function noteTag(store: Store, { familiar }: Reference, digest: Digest | undefined): Promise<void> {
  const stored = digest === undefined ? undefined : await loadManifest(store, { familiar }, digest)
  if (stored !== undefined) noteImage(store, 'tag', stored.manifest.config.digest, withTag(familiar))
}

interface Document {
  readonly digest: Digest
  readonly bytes: Buffer
  readonly mediaType: string
  readonly manifest: ImageManifest
}

async function document(store: Store, digest: Digest, reference: Reference): Promise<Document> {
  const bytes = await readBlob(store, digest)
  const manifest = bytes === undefined ? undefined : parseManifest(bytes, reference.familiar)
  if (bytes === undefined || manifest?.kind !== 'image') {
    throw new MayflyError('ERR_MAYFLY_STORE_FAILED', `The manifest of ${reference.familiar} is damaged in the store`, { hint: 'mayfly store verify says more; pull or build it again.' })
  }
  return { digest, bytes, manifest, mediaType: mediaTypeOf(bytes, 'application/vnd.oci.image.manifest.v1+json') }
}

/** An index all of whose images the store has. */
async function wholeIndex(store: Store, digest: Digest, reference: Reference): Promise<{ bytes: Buffer, mediaType: string, manifests: readonly Digest[] } | undefined> {
  const bytes = await readBlob(store, digest)
  const index = bytes === undefined ? undefined : parseManifest(bytes, reference.familiar)
  if (bytes === undefined || index?.kind !== 'index') return undefined
  for (const one of index.manifests) {
    const inner = await readBlob(store, one.digest)
    const manifest = inner === undefined ? undefined : parseManifest(inner, reference.familiar)
    if (manifest?.kind !== 'image') return undefined
    const there = await Promise.all([manifest.config, ...manifest.layers].map(blob => hasBlob(store, blob)))
    if (there.includes(false)) return undefined
  }
  return { bytes, mediaType: mediaTypeOf(bytes, 'application/vnd.oci.image.index.v1+json'), manifests: index.manifests.map(one => one.digest) }
}

function mediaTypeOf(bytes: Buffer, otherwise: string): string {
  const { mediaType } = JSON.parse(bytes.toString('utf8')) as { mediaType?: unknown }
  return typeof mediaType === 'string' ? mediaType : otherwise
}

/** All at once. When one cannot be sent the others stop: whoever pushes again must not meet them at the registry. */
async function sendAll(store: Store, reference: Reference, blobs: readonly Descriptor[], from: readonly string[], options: PushOptions): Promise<void> {
  const stop = new AbortController()
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal])
  setMaxListeners(0, signal)
  let failure: { readonly error: unknown } | undefined
  await Promise.all(blobs.map((blob) => send(store, reference, blob, from, { ...options, signal }).catch((error: unknown) => {
    failure ??= { error }
    stop.abort(error)
  })))
  if (failure !== undefined) throw failure.error
}

async function send(store: Store, reference: Reference, blob: Descriptor, from: readonly string[], { signal, onProgress }: PushOptions): Promise<void> {
  let done = 0
  const tell = (state: PushProgress['state']): void => onProgress?.({ blob: blob.digest, size: blob.size, state, done })
  tell('waiting')
  const outcome = await uploadBlob(reference, blob, blobPath(store, blob.digest), {
    signal, from,
    onBytes: count => {
      done += count
      tell('sending')
    },
  }).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    throw new MayflyError('ERR_MAYFLY_STORE_FAILED', `A layer of ${reference.familiar} is not in the store: ${blob.digest}`, { hint: 'Pull or build it again.' })
  })
  tell(outcome)
}

/** Other repositories of the registry that this store has names of: their blobs may be there already. */
async function repositoriesBeside(store: Store, reference: Reference): Promise<readonly string[]> {
  const refs = await listRefs(store)
  const beside = refs.map(one => one.reference).filter(one => one.registry === reference.registry && one.repository !== reference.repository)
  return [...new Set(beside.map(({ repository }) => repository))].slice(0, 3)
}


import { randomBytes } from 'node:crypto'
import { mkdir, stat } from 'node:fs/promises'
import { join } from 'node:path'

import type { Digest } from '../../digest.js'
import { isMayflyError, MayflyError } from '../../errors.js'
import { lockFile } from '../../layers/index.js'
import { formatPlatform, hostPlatform } from '../../platform.js'
import { parseReference, type Reference } from '../../reference.js'
import { fillLayers } from '../fill.js'
import { wantedLayers } from '../image.js'
import { noteImage } from '../journal.js'
import { openLease } from '../lease.js'
import { withTag } from '../names.js'
import type { PullProgress } from '../progress.js'
import { unnamed, writeRef } from '../refs.js'
import { blobPath, discardTree, storeFailed, writeAtomically, type Store } from '../store.js'
import { readDocker } from './docker.js'
import type { ArchivedImage } from './documents.js'
import { readOci } from './oci.js'
import { invalid, openLayout, readArchive, type Archive, type ArchiveLimits } from './read.js'

export interface LoadOptions extends ArchiveLimits {
  readonly signal?: AbortSignal | undefined
  /** Of each image in turn; its bytes are those of the archive. */
  readonly onProgress?: ((progress: PullProgress) => void) | undefined
  /** What the journal says of it. Default `load`. */
  readonly noted?: 'load' | 'import' | undefined
}

export interface LoadedImage {
  readonly id: Digest
  readonly digest: Digest
  /** Empty when the archive has no name for it. */
  readonly names: readonly Reference[]
}

/**
 * Brings the images of an archive into the store: one in Docker's form, old or new, an OCI archive, plain or compressed, as
 * bytes; or an OCI layout as the path of its directory. Throws ERR_MAYFLY_ARCHIVE_INVALID, …_DIGEST_MISMATCH,
 * …_MANIFEST_INVALID, …_LAYER_INVALID, …_PLATFORM_MISMATCH, …_REFERENCE_INVALID, …_STORE_FAILED or …_ABORTED; then nothing
 * of the image that was wrong is kept.
 */
export async function loadImages(store: Store, from: AsyncIterable<Buffer> | string, options: LoadOptions = {}): Promise<LoadedImage[]> {
  const signal = options.signal ?? new AbortController().signal
  const work = `load-${randomBytes(8).toString('hex')}`
  const lock = await lockFile(join(store.home, 'locks', work), signal)
  const directory = join(store.home, 'ingest', work)
  try {
    await mkdir(directory, { mode: 0o700 })
    const archive = typeof from === 'string' ? await layoutAt(from) : await readArchive(abortable(from, signal), directory, options)
    const images = await readImages(archive)
    if (images.length === 0) throw invalid('it has no images')
    const loaded: LoadedImage[] = []
    for (const image of images) loaded.push(await place(store, archive, image, { signal, tell: options.onProgress ?? (() => undefined) }))
    for (const { id, names: [name] } of loaded) noteImage(store, options.noted ?? 'load', id, name === undefined ? undefined : withTag(name.familiar))
    return loaded
  } catch (error) {
    throw isMayflyError(error) ? error : storeFailed('Cannot load images', error)
  } finally {
    await discardTree(store, directory)
    await lock.release()
  }
}

async function layoutAt(path: string): Promise<Archive> {
  const found = await stat(path).catch(() => undefined)
  if (found?.isDirectory() !== true) throw invalid(`${path} is no directory`)
  return openLayout(path)
}

async function readImages(archive: Archive): Promise<ArchivedImage[]> {
  if (await archive.has('index.json') && await archive.has('oci-layout')) return readOci(archive)
  if (await archive.has('manifest.json')) return readDocker(archive)
  throw invalid('it has neither index.json nor manifest.json')
}

async function place(store: Store, archive: Archive, image: ArchivedImage, { signal, tell }: { signal: AbortSignal, tell: (progress: PullProgress) => void }): Promise<LoadedImage> {
  // Written in full and in short, a name is one.
  const names = [...new Map(image.names.map((name) => parseReference(name)).map((one) => [String(one), one])).values()]
  const platform = imagePlatform(image)
  const [first = unnamed(image.digest)] = names
  await using lease = await openLease(store, signal)
  const wanted = wantedLayers(image.manifest.layers, image.parsed)
  await lease.hold(...image.documents.map(([digest]) => digest), ...wanted.flatMap(({ blob, diffId, chainId }) => [blob.digest, diffId, chainId]))
  await fillLayers(store, first, wanted, { fetch: ({ digest }) => archive.open(image.fileOf(digest)), signal, tell })
  for (const [digest, bytes] of image.documents) await writeAtomically(blobPath(store, digest), bytes)
  for (const name of names.length > 0 ? names : [first]) {
    await writeRef(store, name, { digest: image.top, manifests: { [platform]: image.digest }, origin: '', pulledAt: Date.now() })
  }
  return { id: image.manifest.config.digest, digest: image.digest, names }
}

/** An archive may hold an image of another machine: it is kept as what it is. */
function imagePlatform({ parsed: { os, architecture, variant } }: ArchivedImage): string {
  const own = hostPlatform()
  if (architecture === '' || (architecture === own.architecture && variant === undefined)) return formatPlatform(own)
  return formatPlatform({ os, architecture, ...(variant === undefined ? {} : { variant }) })
}

async function* abortable(source: AsyncIterable<Buffer>, signal: AbortSignal): AsyncGenerator<Buffer> {
  for await (const chunk of source) {
    if (signal.aborted) throw new MayflyError('ERR_MAYFLY_ABORTED', 'The load was aborted', { cause: signal.reason })
    yield chunk
  }
}

import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { chmod, link, mkdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'

import { digestFromHex, hexOf, type Digest } from '../digest.js'
import { isMayflyError, MayflyError } from '../errors.js'
import { isSelfContained, lockFile, settle, unpackLayer, type UntarReport } from '../layers/index.js'
import type { BlobDownload, Descriptor } from '../registry/index.js'
import type { Reference } from '../reference.js'
import { findLayer, layerPath, readRecord, writeLayerBlob, writeRecord } from './record.js'
import { blobPath, discardTree, hasBlob, storeFailed, type Store } from './store.js'

export interface WantedLayer {
  readonly blob: Descriptor
  readonly diffId: Digest
  readonly chainId: Digest
}

/** Gives the bytes of a blob: from registries, or an archive, which has nobody else to ask. */
export type BlobSource = (blob: Descriptor, signal: AbortSignal | undefined) => AsyncIterable<Buffer> & Partial<Pick<BlobDownload, 'elsewhere'>>

/** How a layer is to be had. */
export interface LayerWork {
  /** Where blobs come from; without it, only what the store has is taken: ERR_MAYFLY_IMAGE_NOT_FOUND where that is not enough. */
  readonly fetch: BlobSource | undefined
  /** Directories of the lower layers, top first. */
  readonly lowers: () => Promise<readonly string[]>
  /** Less than 0: so many come again. */
  readonly onBytes: (count: number) => void
  readonly signal?: AbortSignal | undefined
}

/**
 * Downloads (or takes from the store's blobs) and unpacks one layer, alone among all processes, and gives its
 * directory. Locks are by chain id and `lowers` (top first) is awaited under the lock: a layer only ever waits for
 * shorter chains, so pulls cannot wait for each other in a circle.
 */
export async function obtainLayer(store: Store, reference: Reference, layer: WantedLayer, work: LayerWork): Promise<string> {
  const hex = hexOf(layer.chainId)
  const lock = await lockFile(join(store.home, 'locks', hex), work.signal)
  const ingest = join(store.home, 'ingest', hex)
  try {
    try {
      const made = await unpackOnce(store, reference, layer, ingest, work)
      return typeof made === 'string' ? made : await lean(store, layer, ingest, made, work)
    } finally {
      await discardTree(store, ingest)
    }
  } catch (error) {
    throw isMayflyError(error) ? error : storeFailed(`Cannot store a layer of ${reference}`, error)
  } finally {
    await lock.release()
  }
}

/**
 * Whatever chains a layer is wanted in, one at a time fetches and unpacks it. Gives the directory of one that stands alone; another is
 * not done yet. Who has this lock waits for no other.
 */
async function unpackOnce(store: Store, reference: Reference, layer: WantedLayer, ingest: string, work: LayerWork): Promise<string | Filled> {
  const lock = await lockFile(join(store.home, 'locks', `diff-${hexOf(layer.diffId)}`), work.signal)
  try {
    const there = await findLayer(store, layer)
    if (there !== undefined) {
      await fetchBytes(store, layer, there.key, ingest, work)
      return there.directory
    }
    const filled = await fill(store, reference, layer, ingest, work)
    if (filled.report.devices > 0) warnOfDevices(reference, filled.report.devices)
    if (!isSelfContained(filled.report)) {
      if (filled.fetched !== undefined) await link(filled.fetched, sharedBlob(store, layer)).catch(() => undefined)
      return filled
    }
    return await keep(store, layer, ingest, filled)
  } finally {
    await lock.release()
  }
}

/** Files that are there already need the bytes all the same: the image is pushed and saved as it came. */
async function fetchBytes(store: Store, { blob }: WantedLayer, key: Digest, ingest: string, { fetch, onBytes, signal }: LayerWork): Promise<void> {
  if (fetch === undefined || await hasBlob(store, blob)) return
  const file = join(ingest, 'blob')
  const source = fetch(blob, signal)
  for (;;) {
    await discardTree(store, ingest)
    await mkdir(ingest, { recursive: true, mode: 0o700 })
    const hash = createHash('sha256')
    let came = 0
    await pipeline(source, async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        hash.update(chunk)
        onBytes(chunk.length)
        came += chunk.length
        // Whoever gives them uses them again.
        yield Buffer.from(chunk)
      }
    }, createWriteStream(file, { flags: 'wx', mode: 0o600 }))
    const actual = digestFromHex(hash.digest('hex'))
    if (actual === blob.digest) break
    const error = new MayflyError('ERR_MAYFLY_DIGEST_MISMATCH', `A layer has the digest ${actual} instead of ${blob.digest}`, {
      hint: 'The image is damaged or was altered. Nothing of this layer was kept.', details: { wanted: blob.digest, actual },
    })
    if (source.elsewhere === undefined) throw error
    source.elsewhere(error)
    onBytes(-came)
  }
  await rename(file, blobPath(store, blob.digest))
  await writeLayerBlob(layerPath(store, key), blob)
}

/** `fetched`: the file with its bytes, when they did not come from the store. */
interface Filled {
  readonly report: UntarReport
  readonly fetched?: string
}

/** Gives a layer that leans on those below what it needs of them. */
async function lean(store: Store, layer: WantedLayer, ingest: string, filled: Filled, work: LayerWork): Promise<string> {
  try {
    await settle(join(ingest, 'layer', 'tree'), filled.report, await work.lowers())
    return await keep(store, layer, ingest, filled)
  } finally {
    await rm(sharedBlob(store, layer), { force: true })
  }
}

/** Of a layer that cannot be used, the bytes are of no use either. */
async function keep(store: Store, layer: WantedLayer, ingest: string, { report, fetched }: Filled): Promise<string> {
  if (fetched !== undefined) await rename(fetched, blobPath(store, layer.blob.digest))
  return await place(store, layer, ingest, report)
}

/** Where the bytes of a layer lie for those who want it in other chains, while it is not known whether it can be used. */
function sharedBlob(store: Store, layer: WantedLayer): string {
  return join(store.home, 'ingest', `blob-${hexOf(layer.blob.digest)}`)
}

function warnOfDevices(reference: Reference, count: number): void {
  process.emitWarning(`${count} device nodes in a layer of ${reference} were left out: only root can make them`, {
    type: 'MayflyWarning', code: 'MAYFLY_DEVICES_LEFT_OUT',
  })
}

async function fill(store: Store, reference: Reference, layer: WantedLayer, ingest: string, { fetch, onBytes, signal }: LayerWork): Promise<Filled> {
  const { digest, size } = layer.blob
  const directory = join(ingest, 'layer', 'tree')
  const fresh = async (): Promise<void> => {
    await discardTree(store, ingest)
    await mkdir(directory, { recursive: true, mode: 0o755 })
    await chmod(directory, 0o755)
  }
  const file = join(ingest, 'blob')
  await fresh()
  for (const path of [blobPath(store, digest), sharedBlob(store, layer)]) {
    const fetched = path === blobPath(store, digest) ? undefined : file
    if (!await link(path, file).then(() => true, () => false)) continue
    const source = createReadStream(file, { highWaterMark: 256 * 1024 }) as AsyncIterable<Buffer>
    try {
      return { report: await unpackLayer({ source, directory, digest, size, diffId: layer.diffId }), ...(fetched === undefined ? {} : { fetched }) }
    } catch (error) {
      if (!isOtherThan(digest, error)) throw error
      // One damaged on disk, or torn by a crash, is fetched again.
      await rm(path, { force: true })
      await fresh()
    }
  }
  if (fetch === undefined) throw notThere(reference)
  const source = fetch(layer.blob, signal)
  for (;;) {
    let came = 0
    const counted = (count: number): void => {
      came += count
      onBytes(count)
    }
    try {
      return { report: await unpackLayer({ source, directory, digest, size, diffId: layer.diffId, keep: file, onBytes: counted }), fetched: file }
    } catch (error) {
      if (source.elsewhere === undefined || !isOtherThan(digest, error)) throw error
      source.elsewhere(error)
      onBytes(-came)
      await fresh()
    }
  }
}

/** Whether the bytes were not those of the digest; what is in them may not be what an image says of it, and they are good all the same. */
function isOtherThan(digest: Digest, error: unknown): error is MayflyError {
  return isMayflyError(error) && error.code === 'ERR_MAYFLY_DIGEST_MISMATCH' && error.details['wanted'] === digest
}

async function place(store: Store, layer: WantedLayer, ingest: string, report: UntarReport): Promise<string> {
  const kind = isSelfContained(report) ? 'diffId' : 'chainId'
  const key = layer[kind]
  const target = layerPath(store, key)
  await writeRecord(join(ingest, 'layer'), store, { diffId: layer.diffId, kind, opaque: report.opaque, size: report.bytes })
  await writeLayerBlob(join(ingest, 'layer'), layer.blob)
  if (await readRecord(store, key, kind) === undefined) {
    await discardTree(store, target)
    await rename(join(ingest, 'layer'), target).catch(async (error: unknown) => {
      // Another image's pull put the same layer there first.
      if (await readRecord(store, key, kind) === undefined) throw error
    })
  }
  return join(target, 'tree')
}

/** The image, or a part of it, is missing where nothing may be fetched. */
export function notThere(reference: Reference): MayflyError {
  return new MayflyError('ERR_MAYFLY_IMAGE_NOT_FOUND', `The image ${reference} is not in the store, and pulling is switched off`, {
    hint: `Pull it first: mayfly pull ${reference.familiar}`,
  })
}

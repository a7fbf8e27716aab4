import { createReadStream } from 'node:fs'
import { access, chmod, mkdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'

import { hexOf, type Digest } from '../digest.js'
import { isMayflyError, MayflyError } from '../errors.js'
import { isSelfContained, lockFile, settle, unpackLayer, type UntarReport } from '../layers/index.js'
import type { BlobDownload, Descriptor } from '../registry/index.js'
import type { Reference } from '../reference.js'
import { findLayer, layerPath, readRecord, writeRecord } from './record.js'
import { blobPath, discardTree, storeFailed, type Store } from './store.js'

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
    const there = await findLayer(store, layer)
    if (there !== undefined) return there.directory
    try {
      const { report, fetched } = await fill(store, reference, layer, ingest, work)
      const self = isSelfContained(report)
      if (report.devices > 0) warnOfDevices(reference, report.devices)
      if (!self) await settle(join(ingest, 'layer', 'tree'), report, await work.lowers())
      // Of a layer that cannot be used, the bytes are of no use either.
      if (fetched !== undefined) await rename(fetched, blobPath(store, layer.blob.digest))
      return await place(store, layer, ingest, report)
    } finally {
      await discardTree(store, ingest)
    }
  } catch (error) {
    throw isMayflyError(error) ? error : storeFailed(`Cannot store a layer of ${reference}`, error)
  } finally {
    await lock.release()
  }
}

function warnOfDevices(reference: Reference, count: number): void {
  process.emitWarning(`${count} device nodes in a layer of ${reference} were left out: only root can make them`, {
    type: 'MayflyWarning', code: 'MAYFLY_DEVICES_LEFT_OUT',
  })
}

/** `fetched`: the file with its bytes, when they did not come from the store. */
async function fill(
  store: Store, reference: Reference, layer: WantedLayer, ingest: string, { fetch, onBytes, signal }: LayerWork,
): Promise<{ readonly report: UntarReport, readonly fetched?: string }> {
  const { digest, size } = layer.blob
  const directory = join(ingest, 'layer', 'tree')
  const fresh = async (): Promise<void> => {
    await discardTree(store, ingest)
    await mkdir(directory, { recursive: true, mode: 0o755 })
    await chmod(directory, 0o755)
  }
  await fresh()
  if (await access(blobPath(store, digest)).then(() => true, () => false)) {
    const source = createReadStream(blobPath(store, digest), { highWaterMark: 256 * 1024 }) as AsyncIterable<Buffer>
    try {
      return { report: await unpackLayer({ source, directory, digest, size, diffId: layer.diffId }) }
    } catch (error) {
      if (!isMayflyError(error) || error.code !== 'ERR_MAYFLY_DIGEST_MISMATCH') throw error
      // A blob damaged on disk, or torn by a crash, is fetched again.
      await rm(blobPath(store, digest), { force: true })
      await fresh()
    }
  }
  if (fetch === undefined) throw notThere(reference)
  const keep = join(ingest, 'blob')
  const source = fetch(layer.blob, signal)
  for (;;) {
    let came = 0
    const counted = (count: number): void => {
      came += count
      onBytes(count)
    }
    try {
      return { report: await unpackLayer({ source, directory, digest, size, diffId: layer.diffId, keep, onBytes: counted }), fetched: keep }
    } catch (error) {
      if (source.elsewhere === undefined || !isMayflyError(error) || error.code !== 'ERR_MAYFLY_DIGEST_MISMATCH' || error.details['wanted'] !== digest) throw error
      source.elsewhere(error)
      onBytes(-came)
      await fresh()
    }
  }
}

async function place(store: Store, layer: WantedLayer, ingest: string, report: UntarReport): Promise<string> {
  const kind = isSelfContained(report) ? 'diffId' : 'chainId'
  const key = layer[kind]
  const target = layerPath(store, key)
  await writeRecord(join(ingest, 'layer'), store, { diffId: layer.diffId, kind, opaque: report.opaque, size: report.bytes })
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

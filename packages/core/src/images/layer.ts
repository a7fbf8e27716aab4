import { createReadStream } from 'node:fs'
import { access, chmod, mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { hexOf, type Digest } from '../digest.js'
import { isMayflyError } from '../errors.js'
import { isSelfContained, lockFile, settle, unpackLayer, type UntarReport } from '../layers/index.js'
import { fetchBlob, type Descriptor } from '../registry/index.js'
import type { Reference } from '../reference.js'
import { blobPath, discardTree, storeFailed, type Store } from './store.js'

export interface WantedLayer {
  readonly blob: Descriptor
  readonly diffId: Digest
  readonly chainId: Digest
}

/** The directory of a layer's complete tree, or `undefined`. */
export async function findLayer(store: Store, { diffId, chainId }: Pick<WantedLayer, 'diffId' | 'chainId'>): Promise<string | undefined> {
  return await complete(store, diffId, 'diffId') ?? await complete(store, chainId, 'chainId')
}

/**
 * Downloads (or takes from the store's blobs) and unpacks one layer, alone among all processes, and gives its
 * directory. Locks are by chain id and `lowers` (top first) is awaited under the lock: a layer only ever waits for
 * shorter chains, so pulls cannot wait for each other in a circle.
 */
export async function obtainLayer(
  store: Store, reference: Reference, layer: WantedLayer, lowers: () => Promise<readonly string[]>,
  onBytes: (count: number) => void, signal?: AbortSignal,
): Promise<string> {
  const hex = hexOf(layer.chainId)
  const lock = await lockFile(join(store.home, 'locks', hex), signal)
  const ingest = join(store.home, 'ingest', hex)
  try {
    const there = await findLayer(store, layer)
    if (there !== undefined) return there
    try {
      const report = await fill(store, reference, layer, ingest, onBytes, signal)
      const self = isSelfContained(report)
      if (report.devices > 0) warnOfDevices(reference, report.devices)
      if (!self) await settle(join(ingest, 'layer', 'tree'), report, await lowers())
      return await place(store, layer, ingest, self)
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

async function fill(
  store: Store, reference: Reference, layer: WantedLayer, ingest: string, onBytes: (count: number) => void, signal?: AbortSignal,
): Promise<UntarReport> {
  const { digest } = layer.blob
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
      return await unpackLayer({ source, directory, digest, diffId: layer.diffId })
    } catch (error) {
      if (!isMayflyError(error) || error.code !== 'ERR_MAYFLY_DIGEST_MISMATCH') throw error
      // A blob damaged on disk is fetched again.
      await rm(blobPath(store, digest), { force: true })
      await fresh()
    }
  }
  const blob = join(ingest, 'blob')
  const file = await open(blob, 'wx', 0o600)
  try {
    const keep = async (chunk: Buffer): Promise<void> => {
      onBytes(chunk.length)
      await file.writeFile(chunk)
    }
    const report = await unpackLayer({ source: fetchBlob(reference, layer.blob, signal), directory, digest, diffId: layer.diffId, keep })
    await rename(blob, blobPath(store, digest))
    return report
  } finally {
    await file.close()
  }
}

async function place(store: Store, layer: WantedLayer, ingest: string, alone: boolean): Promise<string> {
  const kind = alone ? 'diffId' : 'chainId'
  const target = layerPath(store, layer[kind])
  const record = { diffId: layer.diffId, kind, bootId: store.bootId }
  await writeFile(join(ingest, 'layer', 'layer.json'), JSON.stringify(record), { mode: 0o600 })
  if (await complete(store, layer[kind], kind) === undefined) {
    await discardTree(store, target)
    await rename(join(ingest, 'layer'), target).catch(async (error: unknown) => {
      // Another image's pull put the same layer there first.
      if (await complete(store, layer[kind], kind) === undefined) throw error
    })
  }
  return join(target, 'tree')
}

async function complete(store: Store, key: Digest, kind: 'diffId' | 'chainId'): Promise<string | undefined> {
  try {
    const record = JSON.parse(await readFile(join(layerPath(store, key), 'layer.json'), 'utf8')) as { kind?: unknown, bootId?: unknown }
    if (record.kind !== kind || record.bootId !== store.bootId) return undefined
    return join(layerPath(store, key), 'tree')
  } catch {
    return undefined
  }
}

function layerPath(store: Store, key: Digest): string {
  return join(store.layers, hexOf(key))
}

import { createHash, type Hash } from 'node:crypto'
import { once } from 'node:events'
import { pipeline } from 'node:stream/promises'
import { PassThrough, type Duplex, type Writable } from 'node:stream'
import * as zlib from 'node:zlib'

import { digestFromHex, type Digest } from '../digest.js'
import { isMayflyError, MayflyError } from '../errors.js'
import { startUntar, type Untar, type UntarReport } from './native.js'

export interface UnpackOptions {
  /** The layer as the registry serves it: gzip, zstd or a plain tar. */
  readonly source: AsyncIterable<Buffer>
  /** An empty directory for the layer's tree. */
  readonly directory: string
  /** Expected digest of the bytes of `source`. */
  readonly digest: Digest
  /** Expected digest of the plain tar. */
  readonly diffId: Digest
  /** Takes the bytes of `source` as they come, to keep them. */
  readonly keep?: ((chunk: Buffer) => Promise<unknown>) | undefined
  /** Largest plain size in bytes; default 32 GiB. */
  readonly limit?: number
  readonly unpacker?: (directory: string) => Untar
}

/**
 * Hashes, inflates, hashes again and unpacks a layer in one pass. Throws ERR_MAYFLY_DIGEST_MISMATCH or
 * ERR_MAYFLY_LAYER_INVALID; then `directory` holds an unusable part of the tree.
 */
export async function unpackLayer(options: UnpackOptions): Promise<UntarReport> {
  const untar = (options.unpacker ?? startUntar)(options.directory)
  const compressed = createHash('sha256')
  const plain = createHash('sha256')
  try {
    const chunks = options.source[Symbol.asyncIterator]()
    const first = await chunks.next()
    const inflate = first.done === true ? new PassThrough() : decompressor(first.value)
    const draining = drain(inflate, plain, untar, options.limit ?? 32 * 2 ** 30)
    let failed = false
    draining.catch(() => { failed = true })
    await Promise.all([feed(first, chunks, compressed, inflate, () => failed, options), draining])
    check('A layer', options.digest, compressed)
    check('The unpacked content of a layer', options.diffId, plain)
    return await untar.done
  } catch (error) {
    untar.kill()
    await untar.done.catch(() => undefined)
    throw isMayflyError(error) || !isZlibError(error)
      ? error
      : new MayflyError('ERR_MAYFLY_LAYER_INVALID', `A layer cannot be inflated: ${error.message}`, { cause: error })
  }
}

async function feed(
  first: IteratorResult<Buffer, unknown>, rest: AsyncIterator<Buffer>, hash: Hash, inflate: Duplex,
  failed: () => boolean, { keep }: UnpackOptions,
): Promise<void> {
  try {
    for (let step = first; step.done !== true; step = await rest.next()) {
      hash.update(step.value)
      const kept = keep?.(step.value)
      // It may fail before it is waited for.
      kept?.catch(() => undefined)
      await write(inflate, step.value)
      await kept
      if (failed()) {
        await rest.return?.()
        return
      }
    }
    inflate.end()
  } catch (error) {
    inflate.destroy(error as Error)
    await rest.return?.()
    throw error
  }
}

async function drain(inflate: Duplex, hash: Hash, untar: Untar, limit: number): Promise<void> {
  let size = 0
  await pipeline(inflate, async (source: AsyncIterable<Buffer>) => {
    for await (const chunk of source) {
      size += chunk.length
      if (size > limit) throw new MayflyError('ERR_MAYFLY_LAYER_INVALID', `A layer is larger than ${limit} bytes unpacked`)
      hash.update(chunk)
      await write(untar.input, chunk)
    }
  })
  untar.input.end()
}

/** Writes with backpressure; a closed stream takes nothing more, its owner reports why it closed. */
async function write(stream: Writable, chunk: Buffer): Promise<void> {
  if (stream.destroyed || stream.writableEnded) return
  if (stream.write(chunk)) return
  const stop = new AbortController()
  const until = { signal: stop.signal }
  try {
    await Promise.race([once(stream, 'drain', until), once(stream, 'close', until)]).catch(() => undefined)
  } finally {
    stop.abort()
  }
}

function decompressor(start: Buffer): Duplex {
  if (start[0] === 0x1f && start[1] === 0x8b) return zlib.createGunzip({ chunkSize: 256 * 1024 })
  if (start.length < 4 || start.readUInt32LE(0) !== 0xfd2fb528) return new PassThrough()
  const create = (zlib as { createZstdDecompress?: () => Duplex }).createZstdDecompress
  if (create !== undefined) return create()
  throw new MayflyError('ERR_MAYFLY_UNSUPPORTED', 'This image has layers compressed with zstd, which this Node cannot read', {
    hint: 'Use Node 22.15 or later, or an image with gzip layers.',
  })
}

function check(what: string, wanted: Digest, hash: Hash): void {
  const actual = digestFromHex(hash.digest('hex'))
  if (actual === wanted) return
  throw new MayflyError('ERR_MAYFLY_DIGEST_MISMATCH', `${what} has the digest ${actual} instead of ${wanted}`, {
    hint: 'The image is damaged or was altered. Nothing of this layer was kept.',
    details: { wanted, actual },
  })
}

function isZlibError(error: unknown): error is Error {
  return error instanceof Error && 'code' in error && /^Z_|^ZSTD_|ERR_STREAM_PREMATURE/.test(String(error.code))
}

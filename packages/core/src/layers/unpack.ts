import { createHash } from 'node:crypto'
import { open } from 'node:fs/promises'
import type { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'

import { digestFromHex, type Digest } from '../digest.js'
import { isError, isMayflyError, MayflyError } from '../errors.js'
import { layerLimits, plainLimit } from './limits.js'
import { layerError, startUnpack, type Unpack, type UntarReport } from './native.js'
import { zstdDecompressor } from './zstd.js'

export interface UnpackOptions {
  /** The layer as the registry serves it: gzip, zstd or a plain tar. A piece is not looked at any more once the next one is asked for. */
  readonly source: AsyncIterable<Buffer>
  /** An empty directory for the layer's tree. */
  readonly directory: string
  /** Expected digest of the bytes of `source`. */
  readonly digest: Digest
  /** Expected digest of the plain tar. */
  readonly diffId: Digest
  /** A file, not there yet, for the bytes of `source` as they come. */
  readonly keep?: string | undefined
  /** Told of each piece of `source`. */
  readonly onBytes?: ((count: number) => void) | undefined
  /** Bytes of `source`, by which it is judged how large the plain tar may be; default: any. */
  readonly size?: number | undefined
}

/**
 * Hashes, inflates, hashes again and unpacks a layer in one pass. Throws ERR_MAYFLY_DIGEST_MISMATCH,
 * ERR_MAYFLY_LAYER_INVALID, or ERR_MAYFLY_STORE_FAILED where the disk is at fault; then `directory` holds an unusable
 * part of the tree.
 */
export async function unpackLayer(options: UnpackOptions): Promise<UntarReport> {
  const chunks = options.source[Symbol.asyncIterator]()
  const start = await firstBytes(chunks)
  return start.length >= 4 && start.readUInt32LE(0) === ZSTD ? unpackZstd(start, chunks, options) : unpackAsItComes(start, chunks, options)
}

const ZSTD = 0xfd2fb528

async function unpackAsItComes(start: Buffer, rest: AsyncIterator<Buffer>, options: UnpackOptions): Promise<UntarReport> {
  const { directory, digest, diffId, keep } = options
  const unpack = startUnpack(directory, { keep, ...limitsFor(options) })
  return judged(unpack, async () => {
    for await (const chunk of all(start, rest)) {
      options.onBytes?.(chunk.length)
      await write(unpack.input, chunk)
    }
    unpack.input.end()
    const outcome = await unpack.done
    check('A layer', digest, outcome.digest)
    if (outcome.report === undefined) throw outcome.error
    check('The unpacked content of a layer', diffId, outcome.plain)
    return outcome.report
  })
}

/** The native program inflates gzip only. */
async function unpackZstd(start: Buffer, rest: AsyncIterator<Buffer>, options: UnpackOptions): Promise<UntarReport> {
  const { directory, digest, diffId, keep } = options
  const inflate = await zstdDecompressor()
  const limits = limitsFor(options)
  const unpack = startUnpack(directory, limits)
  return judged(unpack, async () => {
    const hash = createHash('sha256')
    await using file = keep === undefined ? undefined : await open(keep, 'wx', 0o600)
    let whole = false
    const pieces = (async function* (): AsyncGenerator<Buffer, void, void> {
      for await (const chunk of all(start, rest)) {
        options.onBytes?.(chunk.length)
        hash.update(chunk)
        await file?.writeFile(chunk)
        // Streams keep several.
        yield Buffer.from(chunk)
      }
      whole = true
    })()
    const feed = async function* (): AsyncGenerator<Buffer> {
      for (let step = await pieces.next(); step.done !== true; step = await pieces.next()) yield step.value
    }
    let trouble: unknown
    await pipeline(feed, inflate, async (plain: AsyncIterable<Buffer>) => {
      let size = 0
      for await (const chunk of plain) {
        size += chunk.length
        // The rest is not inflated: what a kilobyte becomes here takes as long as all that is allowed.
        if (size > limits.plain) throw await layerError('the layer is larger than allowed')
        await write(unpack.input, chunk)
      }
    }).catch((error: unknown) => { trouble = error })
    unpack.input.end()
    // Whatever was wrong with the content: bytes that are not those asked for are worse.
    while ((await pieces.next()).done !== true);
    const outcome = await unpack.done
    if (whole) check('A layer', digest, hash.digest('hex'))
    if (trouble !== undefined) throw trouble
    if (outcome.report === undefined) throw outcome.error
    check('The unpacked content of a layer', diffId, outcome.plain)
    return outcome.report
  })
}

function limitsFor({ size }: UnpackOptions): { readonly plain: number, readonly entries: number } {
  const limits = layerLimits()
  return { plain: plainLimit(size ?? Number.POSITIVE_INFINITY, limits), entries: limits.entries }
}

async function judged<T>(unpack: Unpack, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    unpack.kill()
    await unpack.done.catch(() => undefined)
    throw isMayflyError(error) || !isZlibError(error)
      ? error
      : new MayflyError('ERR_MAYFLY_LAYER_INVALID', `A layer cannot be inflated: ${error.message}`, { cause: error })
  }
}

/** Enough to tell the compression by. */
async function firstBytes(chunks: AsyncIterator<Buffer>): Promise<Buffer> {
  let start: Buffer = Buffer.alloc(0)
  while (start.length < 4) {
    const step = await chunks.next()
    if (step.done === true) break
    start = Buffer.concat([start, step.value])
  }
  return start
}

async function* all(start: Buffer, rest: AsyncIterator<Buffer>): AsyncGenerator<Buffer, void, void> {
  try {
    if (start.length > 0) yield start
    for (let step = await rest.next(); step.done !== true; step = await rest.next()) yield step.value
  } finally {
    await rest.return?.()
  }
}

/** Returns when the other side has all of it; a closed stream takes nothing more, its owner reports why it closed. */
async function write(stream: Writable, chunk: Buffer): Promise<void> {
  if (stream.destroyed || stream.writableEnded) return
  await new Promise<void>((resolve) => {
    stream.write(chunk, () => { resolve() })
  })
}

function check(what: string, wanted: Digest, hex: string | undefined): void {
  const actual = hex === undefined ? undefined : digestFromHex(hex)
  if (actual === undefined || actual === wanted) return
  throw new MayflyError('ERR_MAYFLY_DIGEST_MISMATCH', `${what} has the digest ${actual} instead of ${wanted}`, {
    hint: 'The image is damaged or was altered. Nothing of this layer was kept.',
    details: { wanted, actual },
  })
}

function isZlibError(error: unknown): error is Error {
  return isError(error) && 'code' in error && /^Z_|^ZSTD_|ERR_STREAM_PREMATURE/.test(String(error.code))
}

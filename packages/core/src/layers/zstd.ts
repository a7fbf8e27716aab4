import { Duplex } from 'node:stream'
import * as zlib from 'node:zlib'

import { messageOf } from '../errors.js'

/** Small, because a kilobyte may become 32 MiB. */
const SLICE = 1024

/** Node's own where there is one (22.15), else one in JavaScript, much slower. Its errors have codes that begin with ZSTD_. */
export async function zstdDecompressor(): Promise<Duplex> {
  const create = (zlib as { createZstdDecompress?: () => Duplex }).createZstdDecompress
  return create === undefined || process.env['MAYFLY_NATIVE_OFF'] === 'zstd' ? await inJavaScript() : create()
}

async function inJavaScript(): Promise<Duplex> {
  const { Decompress } = await import('fzstd')
  return Duplex.from(async function* (source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    let pieces: Uint8Array[] = []
    const decompress = new Decompress((piece) => pieces.push(piece))
    const feed = (slice: Uint8Array, last: boolean): Buffer[] => {
      pieces = []
      try {
        decompress.push(slice, last)
      } catch (error) {
        const why = messageOf(error)
        throw Object.assign(new Error(`${why}; only Node 22.15 and later know all of zstd`), { code: 'ZSTD_error' })
      }
      return pieces.filter(({ length }) => length > 0).map((piece) => Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength))
    }
    for await (const chunk of source) {
      for (let at = 0; at < chunk.length; at += SLICE) yield* feed(chunk.subarray(at, at + SLICE), false)
    }
    yield* feed(new Uint8Array(0), true)
  })
}

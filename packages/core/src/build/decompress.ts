import { spawn } from 'node:child_process'
import { Readable, type Duplex } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'

import { isMayflyError, MayflyError } from '../errors.js'
import { zstdDecompressor } from '../layers/index.js'

const GZIP = Buffer.from([0x1f, 0x8b])
const ZSTD = Buffer.from([0x28, 0xb5, 0x2f, 0xfd])
/** Node has no decoder for these. */
const PROGRAMS = [
  { name: 'xz', magic: Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a]) },
  { name: 'bzip2', magic: Buffer.from('BZh') },
] as const

/** Whether bytes are the beginning of something that `plain` decompresses. */
export function isCompressed(head: Buffer): boolean {
  return [GZIP, ZSTD, ...PROGRAMS.map(({ magic }) => magic)].some(magic => begins(head, magic))
}

/**
 * A stream's plain bytes, its compression told by how it begins: gzip, zstd, xz and bzip2, or none. Errors of the source
 * and of the compression are the result's: ERR_MAYFLY_UNSUPPORTED where the machine lacks the program, ERR_MAYFLY_BUILD_FAILED.
 */
export function plain(source: Readable, head: Buffer): Readable {
  const step = stepOf(head)
  return step === undefined ? source : Readable.from(decompressed(source, step), { objectMode: false, highWaterMark: 1 << 20 })
}

type Step = Duplex | Promise<Duplex> | ((source: Readable) => AsyncIterable<Buffer>)

async function* decompressed(source: Readable, step: Step): AsyncGenerator<Buffer> {
  try {
    if (typeof step === 'function') yield* step(source)
    else {
      const inflate = await step
      pipeline(source, inflate).catch(() => undefined)
      for await (const chunk of inflate as AsyncIterable<Buffer>) yield chunk
    }
  } catch (error) {
    throw isMayflyError(error) ? error : new MayflyError('ERR_MAYFLY_BUILD_FAILED', `An archive cannot be decompressed: ${(error as Error).message}`, { cause: error })
  }
}

function stepOf(head: Buffer): Step | undefined {
  if (begins(head, GZIP)) return createGunzip({ chunkSize: 256 * 1024 })
  const program = PROGRAMS.find(({ magic }) => begins(head, magic))?.name
  if (program !== undefined) return source => through(program, source)
  return begins(head, ZSTD) ? zstdDecompressor() : undefined
}

/** Through a program of the machine; what it complains of is the error. */
async function* through(program: string, source: Readable): AsyncGenerator<Buffer> {
  const child = spawn(program, ['-dc'], { stdio: ['pipe', 'pipe', 'pipe'] })
  let complaint = ''
  child.stderr.on('data', (chunk: Buffer) => { complaint = (complaint + chunk.toString()).slice(-1000) })
  const ended = new Promise<void>((resolve, reject) => {
    child.once('error', cause => reject(new MayflyError('ERR_MAYFLY_UNSUPPORTED', `This archive cannot be unpacked: the program ${program} is not there`, {
      cause, hint: 'Install it, or compress the archive by gzip.',
    })))
    child.once('close', (code, signal) => {
      if (code === 0) resolve()
      else reject(new MayflyError('ERR_MAYFLY_BUILD_FAILED', `An archive cannot be decompressed: ${complaint.trim() || `${program} ended with ${String(signal ?? code)}`}`))
    })
  })
  ended.catch(() => undefined)
  // A program that ends early closes its input, and its status says why.
  const fed = pipeline(source, child.stdin).catch(() => undefined)
  try {
    for await (const chunk of child.stdout as AsyncIterable<Buffer>) yield chunk
    await fed
    await ended
  } finally {
    child.kill('SIGKILL')
  }
}

function begins(head: Buffer, magic: Buffer): boolean {
  return head.subarray(0, magic.length).equals(magic)
}

import { createHash, type Hash } from 'node:crypto'
import { createReadStream, createWriteStream, readFileSync } from 'node:fs'
import { chmod, mkdir } from 'node:fs/promises'
import { PassThrough, type Writable } from 'node:stream'
import { finished, pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import type { Pack } from 'tar-stream'

import { digestFromHex } from '../digest.js'
import { settle, startUntar, type ProducedLayer, type StackLayer } from '../layers/index.js'
import type { LayerEntry } from './copy.js'

/** A layer that is there as files, while its tar is still being compressed. */
export interface FreshLayer {
  readonly tree: StackLayer
  readonly blob: string
  readonly produced: Promise<ProducedLayer>
  /** Its opaque directories, which `tree` may not know yet. */
  readonly opaque: Promise<readonly string[]>
}

/** Bytes of a file that is read at once: a stream costs more than its content. */
const SMALL = 128 * 1024

/** Adds what makes an entry what it is, times apart, to a hash. */
export async function hashEntries(hash: Hash, entries: readonly LayerEntry[]): Promise<void> {
  for (const { path, type, mode, uid, gid, target = '', size, content } of entries) {
    hash.update(`${path}\0${type} ${mode.toString(8)} ${String(uid)}:${String(gid)} ${String(size)} ${target}\0`)
    if (content === undefined) continue
    if ('bytes' in content) hash.update(content.bytes)
    else if (size <= SMALL) hash.update(readFileSync(content.file))
    else for await (const chunk of createReadStream(content.file, { highWaterMark: 1 << 20 }) as AsyncIterable<Buffer>) hash.update(chunk)
  }
}

/** Puts entries into a directory, which is made. */
export async function placeEntries(entries: readonly LayerEntry[], directory: string): Promise<void> {
  const { pack } = await import('tar-stream')
  await mkdir(directory, { recursive: true })
  await chmod(directory, 0o755)
  const tar = pack()
  const untar = startUntar(directory)
  const fed = pipeline(batches(tar), untar.input)
  fed.catch(() => untar.kill())
  for (const entry of entries) await Promise.race([write(tar, entry, undefined), fed])
  tar.finalize()
  await fed
  await settle(directory, await untar.done, [])
}

/**
 * Makes entries a layer: unpacked into `directory`, and compressed into the file `blob`. `lowers` (top first) settle the
 * directories that have no entry of their own. `latest`: seconds since 1970, no time in it is later.
 */
export async function packLayer(
  entries: readonly LayerEntry[], { directory, blob, lowers, latest }: { directory: string; blob: string; lowers: readonly string[]; latest: number | undefined },
): Promise<FreshLayer> {
  const { pack } = await import('tar-stream')
  await mkdir(directory, { recursive: true })
  await chmod(directory, 0o755)
  const tar = pack()
  const plain = createHash('sha256')
  const compressed = createHash('sha256')
  let size = 0
  const toBlob = new PassThrough({ highWaterMark: 1 << 20 })
  const zipped = new PassThrough()
  zipped.on('data', (chunk: Buffer) => {
    compressed.update(chunk)
    size += chunk.length
  })
  const target = createWriteStream(blob, { flags: 'wx', mode: 0o600 })
  const stored = pipeline(toBlob, createGzip({ level: 1, chunkSize: 256 * 1024 }), zipped, target)
  stored.catch(() => undefined)
  const untar = startUntar(directory)
  const fed = (async (): Promise<void> => {
    for await (const chunk of batches(tar)) {
      plain.update(chunk)
      await Promise.all([untar.input, toBlob].filter(stream => !stream.write(chunk)).map(drained))
    }
    untar.input.end()
    toBlob.end()
  })()
  fed.catch(() => untar.kill())
  try {
    for (const entry of entries) await write(tar, entry, latest)
    tar.finalize()
    await fed
  } catch (error) {
    untar.kill()
    toBlob.destroy()
    throw error
  }
  const report = await untar.done
  await settle(directory, report, lowers)
  const diffId = digestFromHex(plain.digest('hex'))
  return {
    tree: { directory, opaque: report.opaque },
    blob,
    opaque: Promise.resolve(report.opaque),
    produced: stored.then(async () => {
      await finished(target).catch(() => undefined)
      return { diffId, digest: digestFromHex(compressed.digest('hex')), size, empty: entries.length === 0, opaque: report.opaque }
    }),
  }
}

const BATCH = 256 * 1024

/** Headers, small files and padding come one by one; each alone would be a system call. */
async function* batches(tar: Pack): AsyncGenerator<Buffer> {
  let held: Buffer[] = []
  let bytes = 0
  for await (const chunk of tar as AsyncIterable<Buffer>) {
    held.push(chunk)
    bytes += chunk.length
    if (bytes < BATCH) continue
    yield Buffer.concat(held, bytes)
    held = []
    bytes = 0
  }
  if (bytes > 0) yield Buffer.concat(held, bytes)
}

/** Takes more, or is closed and takes nothing any more: its owner says why. */
async function drained(stream: Writable): Promise<void> {
  if (stream.destroyed) return
  await new Promise<void>(resolve => {
    const done = (): void => {
      stream.off('drain', done).off('close', done)
      resolve()
    }
    stream.on('drain', done).on('close', done)
  })
}

async function write(tar: Pack, { path, type, mode, uid, gid, mtime, size, target, content }: LayerEntry, latest: number | undefined): Promise<void> {
  const seconds = Math.floor(Math.min(mtime / 1000, latest ?? Infinity))
  // tar-stream takes a mode of 0 for none, and cuts off what stands above the twelve bits; larger ids it would make smaller.
  const large = Object.entries({ uid, gid }).filter(([, id]) => id > 0o777_777).map(([name, id]) => [name, String(id)])
  const header = {
    name: type === 'directory' ? `${path}/` : path, type, mode: mode | 0o10000, uid, gid, size, mtime: new Date(seconds * 1000),
    ...(target === undefined ? {} : { linkname: target }), ...(large.length === 0 ? {} : { pax: Object.fromEntries(large) as Record<string, string> }),
  }
  await new Promise<void>((resolve, reject) => {
    const done = (error?: Error | null): void => (error == null ? resolve() : reject(error))
    if (content === undefined) return void tar.entry(header, done)
    if ('bytes' in content) return void tar.entry(header, content.bytes, done)
    // A file that grows or shrinks meanwhile must not break the archive silently.
    if (size <= SMALL) {
      const bytes = readFileSync(content.file)
      if (bytes.length !== size) return void reject(new Error(`${content.file} changed while it was being read`))
      return void tar.entry(header, bytes, done)
    }
    const entry = tar.entry(header, done)
    createReadStream(content.file, { end: size - 1, highWaterMark: 1 << 20 }).once('error', reject).pipe(entry)
  })
}

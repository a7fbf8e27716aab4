import type { Hash } from 'node:crypto'
import { createReadStream, readFileSync } from 'node:fs'
import { chmod, mkdir } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import type { Pack } from 'tar-stream'

import { measureLayer, NOTHING, settle, startUntar, type LayerSource, type MeasuredLayer, type StackLayer, type Untar, type UntarReport } from '../layers/index.js'
import type { LayerEntry } from './copy.js'

/** A layer that is there as files, while it is still being found out what it is called. */
export interface FreshLayer {
  readonly tree: StackLayer
  readonly source: LayerSource
  readonly measured: Promise<MeasuredLayer>
  /** Its opaque directories, which `tree` may not know yet. */
  readonly opaque: Promise<readonly string[]>
}

/** Bytes of a file that is read at once: a stream costs more than its content. */
const SMALL = 128 * 1024

/** Small files that were read, so that what is packed is what was hashed, and none is read twice in a build. */
export class ReadFiles {
  readonly #files = new Map<string, Buffer>()
  #left = 16 * 2 ** 20

  /** The content of an entry that is small; others are undefined. */
  bytesOf({ size, mtime, content }: LayerEntry): Buffer | undefined {
    if (content === undefined || 'bytes' in content) return content?.bytes
    if (size > SMALL) return undefined
    const key = `${content.file}\0${String(size)} ${String(mtime)}`
    const known = this.#files.get(key)
    if (known !== undefined) return known
    const bytes = readFileSync(content.file)
    // One that changes its size meanwhile is read again, and refused.
    if (bytes.length === size && size <= this.#left) {
      this.#left -= size
      this.#files.set(key, bytes)
    }
    return bytes
  }

  /** The same entry, in memory if its content is. */
  kept(entry: LayerEntry): LayerEntry {
    const { size, mtime, content } = entry
    const bytes = content !== undefined && 'file' in content ? this.#files.get(`${content.file}\0${String(size)} ${String(mtime)}`) : undefined
    return bytes === undefined ? entry : { ...entry, content: { bytes } }
  }
}

/** Adds what makes an entry what it is, times apart, to a hash. Answers the same entries, those in memory whose content is. */
export async function hashEntries(hash: Hash, entries: readonly LayerEntry[], files: ReadFiles): Promise<readonly LayerEntry[]> {
  const read: LayerEntry[] = []
  for (const entry of entries) {
    const { path, type, mode, uid, gid, target = '', size, content } = entry
    hash.update(`${path}\0${type} ${mode.toString(8)} ${String(uid)}:${String(gid)} ${String(size)} ${target}\0`)
    const bytes = files.bytesOf(entry)
    if (bytes !== undefined) hash.update(bytes)
    else if (content !== undefined && 'file' in content) for await (const chunk of createReadStream(content.file, { highWaterMark: 1 << 20 }) as AsyncIterable<Buffer>) hash.update(chunk)
    read.push(files.kept(entry))
  }
  return read
}

/** Puts entries into a directory, which is made. */
export async function placeEntries(entries: readonly LayerEntry[], directory: string): Promise<void> {
  await settle(directory, await unpack(entries, directory), [])
}

async function unpack(entries: readonly LayerEntry[], directory: string, over?: LayerSource): Promise<UntarReport> {
  const { pack } = await import('tar-stream')
  await mkdir(directory, { recursive: true })
  await chmod(directory, 0o755)
  const tar = pack()
  const untar = startUntar(directory, over)
  const fed = pipeline(batches(tar), untar.input)
  fed.catch(() => untar.kill())
  try {
    for (const entry of entries) await Promise.race([write(tar, entry, over?.latest), fed])
    tar.finalize()
    await fed
  } catch (error) {
    throw await reasonOf(error, untar)
  }
  return await untar.done
}

/** Ends the program that unpacks. A pipe that broke is its, which says why it stopped reading. */
export async function reasonOf(error: unknown, untar: Untar): Promise<unknown> {
  const broken = ['EPIPE', 'ECONNRESET', 'ERR_STREAM_PREMATURE_CLOSE'].includes((error as NodeJS.ErrnoException).code ?? '')
  if (!broken) untar.kill()
  return await untar.done.then(() => error, (reason: unknown) => (broken ? reason : error))
}

/** Makes entries a layer in `directory`. `latest`: seconds since 1970, no time in it is later. */
export async function packLayer(entries: readonly LayerEntry[], source: LayerSource): Promise<FreshLayer> {
  const report = await unpack(entries, source.directory, source)
  return freshLayer({ ...source, whole: true }, report)
}

/** A directory that is whole, as a layer; what is known of it already need not be found out. */
export function freshLayer(source: LayerSource, known: Partial<Pick<UntarReport, 'opaque' | 'measured'>> = {}): FreshLayer {
  const { directory } = source
  const { opaque = [], measured } = known
  const found = measured === undefined ? measureLayer(source) : Promise.resolve({ ...measured, opaque, empty: measured.size === NOTHING })
  // Whoever keeps the layer meets its error.
  found.catch(() => undefined)
  const marks = known.opaque === undefined ? found.then(({ opaque: all }) => all) : Promise.resolve(opaque)
  marks.catch(() => undefined)
  return { source, tree: { directory, opaque }, measured: found, opaque: marks }
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

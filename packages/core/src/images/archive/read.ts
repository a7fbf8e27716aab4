import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { lstat, readFile } from 'node:fs/promises'
import { join, posix } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { PassThrough, Transform, type Duplex } from 'node:stream'
import { createGunzip } from 'node:zlib'


import { digestFromHex, type Digest } from '../../digest.js'
import { isMayflyError, MayflyError } from '../../errors.js'
import { zstdDecompressor } from '../../layers/index.js'
import { hashFile } from '../store.js'

/** The files of an archive or a layout. */
export interface Archive {
  has(name: string): boolean | Promise<boolean>
  /** A document of at most 8 MiB. Throws ERR_MAYFLY_ARCHIVE_INVALID. */
  read(name: string): Promise<Buffer>
  /** A file of any size with its digest. Throws ERR_MAYFLY_ARCHIVE_INVALID when it is not there. */
  blob(name: string): Promise<{ readonly digest: Digest, readonly size: number }>
  open(name: string): AsyncIterable<Buffer>
}

export interface ArchiveLimits {
  /** Files in an archive. Default 20,000. */
  readonly files?: number
  /** Bytes of an archive, inflated. Default 64 GiB. */
  readonly bytes?: number
}

const DOCUMENT = 8 * 2 ** 20

interface StoredFile {
  readonly path: string
  readonly size: number
  readonly digest: Digest
}

/**
 * Takes an archive apart into numbered files of `directory`. Throws ERR_MAYFLY_ARCHIVE_INVALID for names that lead out of
 * it, for anything but files, directories and links, and beyond the limits.
 */
export async function readArchive(source: AsyncIterable<Buffer>, directory: string, limits: ArchiveLimits = {}): Promise<Archive> {
  const files = new Map<string, StoredFile>()
  const links = new Map<string, string>()
  const most = limits.files ?? 20_000
  const { extract } = await import('tar-stream')
  const untar = extract()
  const feeding = pipeline(inflated(source), limited(limits.bytes ?? 64 * 2 ** 30), untar)
  feeding.catch(() => undefined)
  try {
    for await (const entry of untar) {
      const name = cleanName(entry.header.name)
      if (files.size + links.size >= most) throw invalid(`it has more than ${most} files`)
      if (entry.header.type === 'symlink' || entry.header.type === 'link') {
        const target = entry.header.linkname ?? ''
        links.set(name, cleanName(entry.header.type === 'link' ? target : posix.join(posix.dirname(name), target), target.startsWith('/')))
        entry.resume()
      } else if (entry.header.type === 'file' || entry.header.type === 'contiguous-file') {
        if (files.has(name)) throw invalid(`it has ${JSON.stringify(name)} twice`)
        files.set(name, await keep(entry as AsyncIterable<Buffer>, join(directory, String(files.size))))
      } else if (entry.header.type === 'directory') entry.resume()
      else throw invalid(`${JSON.stringify(name)} is neither file, directory nor link`)
    }
    await feeding
  } catch (error) {
    untar.destroy()
    await feeding.catch(() => undefined)
    if (isMayflyError(error) || isDiskError(error)) throw error
    throw invalid(`it is damaged, or no tar: ${(error as Error).message}`, error)
  }
  const find = (name: string): StoredFile | undefined => {
    let at = name
    for (let hops = 0; hops < 16; hops += 1) {
      const next = links.get(at)
      if (next === undefined) return files.get(at)
      at = next
    }
    return undefined
  }
  const need = (name: string): StoredFile => find(name) ?? missing(name)
  return {
    has: (name) => find(name) !== undefined,
    read: async (name) => {
      const { path, size } = need(name)
      if (size > DOCUMENT) throw invalid(`${name} is larger than ${DOCUMENT} bytes`)
      return readFile(path)
    },
    blob: async (name) => need(name),
    open: (name) => createReadStream(need(name).path, { highWaterMark: 256 * 1024 }) as AsyncIterable<Buffer>,
  }
}

/** The same of an OCI layout in a directory. Links are not followed. */
export function openLayout(directory: string): Archive {
  const pathOf = (name: string): string => join(directory, cleanName(name))
  const sizeOf = async (name: string): Promise<number> => {
    const found = await lstat(pathOf(name)).catch(() => missing(name))
    return found.isFile() ? found.size : missing(name)
  }
  return {
    has: async (name) => lstat(pathOf(name)).then((found) => found.isFile(), () => false),
    read: async (name) => {
      if (await sizeOf(name) > DOCUMENT) throw invalid(`${name} is larger than ${DOCUMENT} bytes`)
      return readFile(pathOf(name))
    },
    blob: async (name) => ({ size: await sizeOf(name), digest: digestFromHex(await hashFile(pathOf(name))) }),
    open: (name) => createReadStream(pathOf(name), { highWaterMark: 256 * 1024 }) as AsyncIterable<Buffer>,
  }
}

export function invalid(why: string, cause?: unknown): MayflyError {
  return new MayflyError('ERR_MAYFLY_ARCHIVE_INVALID', `The archive of images cannot be used: ${why}`, {
    cause, hint: 'It must be what `docker save`, `podman save`, `skopeo copy` or `mayfly save` writes.',
  })
}

function missing(name: string): never {
  throw invalid(`it has no file ${JSON.stringify(name.slice(0, 200))}`)
}

/** As plain a name as the archive can mean, inside of it. */
function cleanName(name: string, absolute = false): string {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.')
  if (absolute || name.startsWith('/') || parts.includes('..') || name.includes('\0')) throw invalid(`the name ${JSON.stringify(name.slice(0, 200))} leads out of it`)
  return parts.join('/')
}

async function* inflated(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const chunks = source[Symbol.asyncIterator]()
  const first = await chunks.next()
  if (first.done === true) throw invalid('it is empty')
  const inflate = await decompressor(first.value)
  const all = async function* (): AsyncGenerator<Buffer> {
    yield first.value
    for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) yield next.value
  }
  const feeding = pipeline(all, inflate)
  feeding.catch(() => undefined)
  for await (const chunk of inflate as AsyncIterable<Buffer>) yield chunk
  await feeding
}

async function decompressor(start: Buffer): Promise<Duplex> {
  if (start[0] === 0x1f && start[1] === 0x8b) return createGunzip({ chunkSize: 256 * 1024 })
  return start.length >= 4 && start.readUInt32LE(0) === 0xfd2fb528 ? await zstdDecompressor() : new PassThrough()
}

function limited(most: number): Transform {
  let bytes = 0
  return new Transform({
    transform: (chunk: Buffer, _, done) => {
      bytes += chunk.length
      if (bytes > most) done(invalid(`it is larger than ${most} bytes`))
      else done(null, chunk)
    },
  })
}

async function keep(entry: AsyncIterable<Buffer>, path: string): Promise<StoredFile> {
  const hash = createHash('sha256')
  let size = 0
  await pipeline(entry, async function* (chunks: AsyncIterable<Buffer>) {
    for await (const chunk of chunks) {
      hash.update(chunk)
      size += chunk.length
      yield chunk
    }
  }, createWriteStream(path, { flags: 'wx', mode: 0o600 }))
  return { path, size, digest: digestFromHex(hash.digest('hex')) }
}

function isDiskError(error: unknown): boolean {
  return ['ENOSPC', 'EDQUOT', 'EIO', 'EACCES', 'EMFILE', 'EROFS'].includes((error as NodeJS.ErrnoException).code ?? '')
}

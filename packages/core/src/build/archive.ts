import { spawn } from 'node:child_process'
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { posix } from 'node:path'
import type { Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'

import { MayflyError } from '../errors.js'
import type { CopyWish, LayerEntry } from './copy.js'
import type { SourceTree } from './tree.js'

const FORMATS = [
  { name: 'gzip', magic: Buffer.from([0x1f, 0x8b]), program: undefined },
  { name: 'xz', magic: Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a]), program: 'xz' },
  { name: 'bzip2', magic: Buffer.from('BZh'), program: 'bzip2' },
  { name: 'zstd', magic: Buffer.from([0x28, 0xb5, 0x2f, 0xfd]), program: 'zstd' },
] as const

/** Whether ADD unpacks a source: a tar, plain or compressed, told by its bytes and not by its name. */
export async function isArchive(tree: SourceTree, source: string): Promise<boolean> {
  const entry = await tree.find(source.replace(/^\.?\/+/, ''), true)
  if (entry?.stat.isFile() !== true) return false
  const head = await headOf(entry.file)
  if (isTar(head)) return true
  if (!FORMATS.some(({ magic }) => head.subarray(0, magic.length).equals(magic))) return false
  const stream = await plainOf(entry.file)
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    stream.destroy()
    return isTar(chunk)
  }
  return false
}

async function headOf(file: string): Promise<Buffer> {
  const handle = await open(file)
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(512), 0, 512, 0)
    return buffer.subarray(0, bytesRead)
  } finally {
    await handle.close()
  }
}

function isTar(head: Buffer): boolean {
  if (head.length < 512) return false
  if (head.subarray(257, 262).toString() === 'ustar') return true
  // Older than ustar: only its checksum tells.
  const sum = head.reduce((all, byte, at) => all + (at >= 148 && at < 156 ? 32 : byte), 0)
  return head[0] !== 0 && Number.parseInt(head.subarray(148, 156).toString().replace(/\0.*$/, '').trim(), 8) === sum
}

async function plainOf(file: string): Promise<Readable> {
  const head = await headOf(file)
  const format = FORMATS.find(({ magic }) => head.subarray(0, magic.length).equals(magic))
  const source = createReadStream(file, { highWaterMark: 1 << 20 })
  if (format === undefined) return source
  if (format.program === undefined) return source.pipe(createGunzip())
  source.destroy()
  const child = spawn(format.program, ['-dc', file], { stdio: ['ignore', 'pipe', 'inherit'] })
  child.once('error', () => child.stdout.destroy(new MayflyError('ERR_MAYFLY_UNSUPPORTED', `ADD cannot unpack ${format.name}: the program ${format.program} is not there`, {
    hint: `Install it, or compress the archive by gzip.`,
  })))
  return child.stdout
}

/** An archive's entries below the destination, their owners kept unless another is given. */
export async function archiveEntries(tree: SourceTree, source: string, wish: CopyWish): Promise<readonly LayerEntry[]> {
  const { extract } = await import('tar-stream')
  const found = await tree.find(source.replace(/^\.?\/+/, ''), true)
  if (found === undefined) return []
  const target = wish.destination.replace(/^\/+|\/+$/g, '')
  const entries = new Map<string, LayerEntry>()
  const stream = await plainOf(found.file)
  const reader = extract()
  stream.once('error', error => reader.destroy(error))
  stream.pipe(reader)
  for await (const entry of reader) {
    const { name, type, mode = 0o644, uid = 0, gid = 0, mtime, linkname } = entry.header
    const path = inside(target, name)
    const common = { path, uid: wish.owner?.uid ?? uid, gid: wish.owner?.gid ?? gid, mtime: mtime?.getTime() ?? 0, size: 0, target: undefined, content: undefined }
    if (type === 'directory' && path !== target) entries.set(path, { ...common, type: 'directory', mode: mode & 0o7777 })
    else if (type === 'symlink') entries.set(path, { ...common, type: 'symlink', mode: 0o777, target: linkname ?? '' })
    else if (type === 'link') {
      const other = entries.get(inside(target, linkname ?? ''))
      if (other !== undefined) entries.set(path, { ...other, path })
    } else if (type === 'file' || type === 'contiguous-file') {
      const chunks: Buffer[] = []
      for await (const chunk of entry as AsyncIterable<Buffer>) chunks.push(chunk)
      const bytes = Buffer.concat(chunks)
      entries.set(path, { ...common, type: 'file', mode: mode & 0o7777, size: bytes.length, content: { bytes } })
      continue
    }
    entry.resume()
  }
  return [...entries.values()]
}

function inside(target: string, name: string): string {
  const clean = posix.normalize(`/${name}`).replace(/^\/+|\/+$/g, '')
  if (name.split('/').includes('..')) throw new MayflyError('ERR_MAYFLY_BUILD_FAILED', `The archive has an entry outside itself: ${JSON.stringify(name)}`)
  return clean === '' ? target : posix.join(target, clean)
}

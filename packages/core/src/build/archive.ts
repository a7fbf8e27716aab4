import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { chmod, mkdir, open } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'

import { settle, startUntar, type LayerSource } from '../layers/index.js'
import { plain, isCompressed } from './decompress.js'
import { reowned } from './own.js'
import { freshLayer, reasonOf, type FreshLayer } from './pack.js'

/** Whether a file is a tar, plain or compressed, told by its bytes and not by its name. */
export async function isArchive(file: string): Promise<boolean> {
  const head = await headOf(file)
  if (isTar(head)) return true
  if (!isCompressed(head)) return false
  const stream = plain(createReadStream(file), head)
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) return isTar(chunk)
    return false
  } catch {
    // Whatever it is, it is copied as it is.
    return false
  } finally {
    stream.destroy()
  }
}

/** An archive that becomes a layer. */
export interface Archive {
  readonly file: string
  /** Relative to the image's root, no link on its way; '' for the root. */
  readonly target: string
  /** Owner of everything in it; default what it says itself. */
  readonly owner: { readonly uid: number; readonly gid: number } | undefined
}

/** What an archive's layer depends on. */
export async function archiveKey({ file, target, owner }: Archive): Promise<string> {
  const hash = createHash('sha256').update(`archive\0${target}\0${owner === undefined ? '' : `${String(owner.uid)}:${String(owner.gid)}`}\0`)
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 }) as AsyncIterable<Buffer>) hash.update(chunk)
  return hash.digest('hex')
}

/**
 * Unpacks an archive as a layer. By the native program, which lets no entry lead outside and keeps what the archive has:
 * owners, hard links, extended attributes, devices. `latest`: seconds since 1970.
 */
export async function archiveLayer(
  { file, target, owner }: Archive, source: LayerSource,
): Promise<FreshLayer> {
  const { directory, lowers } = source
  const above = target === '' ? [] : target.split('/').map((_, at, parts) => parts.slice(0, at + 1).join('/'))
  const root = join(directory, target)
  await mkdir(root, { recursive: true })
  // Whatever the process's umask is.
  for (const path of ['', ...above]) await chmod(join(directory, path), 0o755)
  const untar = startUntar(root)
  const stream = plain(createReadStream(file, { highWaterMark: 1 << 20 }), await headOf(file))
  try {
    await (owner === undefined ? pipeline(stream, untar.input) : pipeline(stream, reowned(owner), untar.input))
  } catch (error) {
    throw await reasonOf(error, untar)
  }
  const report = await untar.done
  const below = (path: string): string => (target === '' ? path : path === '' ? target : `${target}/${path}`)
  await settle(directory, {
    ...report, implicit: [...above, ...report.implicit.map(below)],
    linksBelow: report.linksBelow.map(({ path, target: to }) => ({ path: below(path), target: below(to) })),
  }, lowers)
  return freshLayer({ ...source, whole: true }, { opaque: report.opaque.map(below) })
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

export function isTar(head: Buffer): boolean {
  if (head.length < 512) return false
  if (head.subarray(257, 262).toString() === 'ustar') return true
  // Older than ustar: only its checksum tells.
  const sum = head.subarray(0, 512).reduce((all, byte, at) => all + (at >= 148 && at < 156 ? 32 : byte), 0)
  return head[0] !== 0 && Number.parseInt(head.subarray(148, 156).toString().replace(/\0.*$/, '').trim(), 8) === sum
}

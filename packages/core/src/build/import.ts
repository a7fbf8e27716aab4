import { createHash, randomBytes } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdir, open, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { Writable } from 'node:stream'
import { createGunzip, type Gunzip } from 'node:zlib'

import { MayflyError } from '../errors.js'
import { discardTree, loadImages, openStore, type LoadedImage } from '../images/index.js'
import { hostPlatform, parsePlatform } from '../platform.js'
import { applyChanges } from './changes.js'

export interface ImportOptions {
  /** What the image is called; default nothing. */
  readonly name?: string | undefined
  /** What the history says of it. */
  readonly message?: string | undefined
  /** Instructions as in a Dockerfile that make its settings. */
  readonly changes?: readonly string[] | undefined
  /** `os/architecture`. Default: this machine's. */
  readonly platform?: string | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * Makes an image of one layer from the tar of a whole file system, plain or compressed by gzip. Throws
 * ERR_MAYFLY_LAYER_INVALID, ERR_MAYFLY_OPTION_INVALID, ERR_MAYFLY_UNSUPPORTED, ERR_MAYFLY_ABORTED.
 */
export async function importImage(tar: AsyncIterable<Uint8Array>, { name, message = '', changes = [], platform, signal }: ImportOptions = {}): Promise<LoadedImage> {
  const settings = applyChanges({}, changes)
  const { os, architecture, variant } = platform === undefined ? hostPlatform() : parsePlatform(platform)
  const store = await openStore()
  const directory = join(store.home, 'ingest', `import-${randomBytes(6).toString('hex')}`)
  await mkdir(directory, { mode: 0o700 })
  try {
    const layer = join(directory, 'layer.tar')
    await pipeline(tar, createWriteStream(layer, { mode: 0o600 }), { signal })
    const diffId = await plainDigest(layer)
    const created = new Date().toISOString()
    const config = {
      created, os, architecture, ...(variant === undefined ? {} : { variant }), config: settings,
      rootfs: { type: 'layers', diff_ids: [diffId] }, history: [{ created, comment: message === '' ? 'imported' : message }],
    }
    await writeFile(join(directory, 'config.json'), JSON.stringify(config))
    await writeFile(join(directory, 'manifest.json'), JSON.stringify([{ Config: 'config.json', RepoTags: name === undefined ? [] : [name], Layers: ['layer.tar'] }]))
    const [image] = await loadImages(store, directory, { signal, noted: 'import' })
    if (image === undefined) throw new MayflyError('ERR_MAYFLY_INTERNAL', 'What was imported is not there')
    return image
  } finally {
    await discardTree(store, directory)
  }
}

async function plainDigest(file: string): Promise<string> {
  const hash = createHash('sha256')
  const inflate = await decompressor(file)
  const into = new Writable({ write: (chunk: Buffer, _encoding, done) => { hash.update(chunk); done() } })
  const source = createReadStream(file, { highWaterMark: 1 << 20 })
  try {
    await (inflate === undefined ? pipeline(source, into) : pipeline(source, inflate, into))
  } catch (cause) {
    throw new MayflyError('ERR_MAYFLY_LAYER_INVALID', 'The tar cannot be decompressed', { cause })
  }
  return `sha256:${hash.digest('hex')}`
}

/** What its first bytes say. */
async function decompressor(file: string): Promise<Gunzip | undefined> {
  await using opened = await open(file)
  const start = Buffer.alloc(6)
  await opened.read(start, 0, 6, 0)
  if (start.readUInt16BE() === 0x1f8b) return createGunzip()
  if (start.readUInt32LE() === 0xfd2fb528 || start.toString('latin1', 0, 3) === 'BZh' || start.toString('latin1', 1, 5) === '7zXZ') {
    throw new MayflyError('ERR_MAYFLY_UNSUPPORTED', 'The tar is compressed by zstd, bzip2 or xz', { hint: 'Decompress it on the way: xz -dc rootfs.tar.xz | mayfly import - NAME' })
  }
  return undefined
}

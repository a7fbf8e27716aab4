import { mkdir, readFile, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'

import { MayflyError } from '../errors.js'
import { startUntar } from '../layers/index.js'
import { readIgnore } from './ignore.js'
import { directoryTree, type SourceTree } from './tree.js'
import type { BuildOptions } from './types.js'

/** The build context: what COPY and ADD take from. */
export interface Context {
  readonly root: string
  /** Read when it is first used: many builds need none of it. */
  tree(): Promise<SourceTree>
  path(name: string): string
  close(): Promise<void>
}

/** Opens a directory, or unpacks a tar into `scratch`. */
export async function openContext({ context, file }: BuildOptions, scratch: string): Promise<Context> {
  const unpacked = typeof context !== 'string'
  const root = unpacked ? scratch : resolve(context)
  if (unpacked) await unpack(context, root)
  let tree: Promise<SourceTree> | undefined
  return {
    root,
    tree: () => (tree ??= ignoreOf(root, file).then(text => directoryTree(root, readIgnore(text)))),
    path: name => join(root, name),
    close: async () => { if (unpacked) await rm(root, { recursive: true, force: true }) },
  }
}

/** A Dockerfile's own ignore file comes before the context's. */
async function ignoreOf(root: string, file: string | undefined): Promise<string> {
  const own = file === undefined ? join(root, 'Dockerfile.dockerignore') : `${file}.dockerignore`
  for (const path of [own, join(root, '.dockerignore')]) {
    const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined
      throw error
    })
    if (text !== undefined) return text
  }
  return ''
}

/** By the native program, which lets no entry lead outside. */
async function unpack(stream: Readable, root: string): Promise<void> {
  await mkdir(root, { recursive: true, mode: 0o700 })
  const untar = startUntar(root)
  try {
    await pipeline(await plainTar(stream), untar.input)
  } catch {
    // The native program says why it stopped reading.
    await untar.done
    throw new MayflyError('ERR_MAYFLY_BUILD_FAILED', 'The build context cannot be read')
  }
  await untar.done
}

/** Gzip is recognised by its first bytes. */
async function plainTar(stream: Readable): Promise<NodeJS.ReadableStream> {
  const iterator = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>
  const first = await iterator.next()
  const head = first.done === true ? Buffer.alloc(0) : Buffer.from(first.value)
  const whole = Readable.from((async function* (): AsyncGenerator<Buffer> {
    yield head
    for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) yield next.value
  })())
  return head[0] === 0x1f && head[1] === 0x8b ? whole.pipe(createGunzip()) : whole
}

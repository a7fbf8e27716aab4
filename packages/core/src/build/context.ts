import { mkdir, readFile } from 'node:fs/promises'
import { join, posix, resolve } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'

import { isMayflyError, MayflyError } from '../errors.js'
import { startUntar } from '../layers/index.js'
import { isTar } from './archive.js'
import { isCompressed, plain } from './decompress.js'
import type { Source } from './dockerfile/fault.js'
import { clone, gitReference } from './git.js'
import { readIgnore } from './ignore.js'
import { directoryTree, type SourceTree } from './tree.js'
import type { BuildOptions } from './types.js'

/** The build context: what COPY and ADD take from. */
export interface Context {
  /** Read when it is first used: many builds need none of it. */
  tree(): Promise<SourceTree>
  /** Throws ERR_MAYFLY_DOCKERFILE_INVALID when there is none. */
  dockerfile(): Promise<Source>
}

interface Opening {
  /** A directory, not there yet, for a context that is not one of this machine's. */
  readonly scratch: string
  readonly signal: AbortSignal
}

/** Opens a directory; a tar, a repository or what a URL serves is put into `scratch` first. */
export async function openContext(options: BuildOptions, { scratch, signal }: Opening): Promise<Context> {
  const { context } = options
  if (typeof context !== 'string') return await unpacked(options, context, scratch)
  const repository = gitReference(context)
  if (repository !== undefined) {
    await clone(repository, scratch, { keepGitDir: false, signal })
    const found = await directoryTree(scratch, readIgnore('')).find(repository.directory, true)
    if (found?.stat.isDirectory() !== true) throw new MayflyError('ERR_MAYFLY_BUILD_FAILED', `${repository.url} has no directory ${repository.directory}`)
    return foreign(options, found.file)
  }
  return /^https?:\/\//.test(context) ? await unpacked(options, await served(context, signal), scratch) : own(options, resolve(context))
}

/** A directory of this machine: the caller's own files, wherever the Dockerfile lies. */
function own({ file, dockerfile }: BuildOptions, root: string): Context {
  const path = file ?? join(root, 'Dockerfile')
  return {
    tree: once(async () => directoryTree(root, readIgnore(await textOf(`${path}.dockerignore`) ?? await textOf(join(root, '.dockerignore')) ?? ''))),
    dockerfile: async () => ({ file: file ?? 'Dockerfile', text: dockerfile ?? await textOf(path) ?? missing(path) }),
  }
}

/** Somebody else's files: no link in them leads out, the Dockerfile's own included. */
function foreign({ file = 'Dockerfile', dockerfile }: BuildOptions, root: string): Context {
  const all = directoryTree(root, readIgnore(''))
  const read = async (path: string): Promise<string | undefined> => {
    const found = await all.find(posix.normalize(`/${path}`).slice(1), true)
    return found?.stat.isFile() === true ? await readFile(found.file, 'utf8') : undefined
  }
  return {
    tree: once(async () => directoryTree(root, readIgnore(await read(`${file}.dockerignore`) ?? await read('.dockerignore') ?? ''))),
    dockerfile: async () => ({ file, text: dockerfile ?? await read(file) ?? missing(file) }),
  }
}

function missing(path: string): never {
  throw new MayflyError('ERR_MAYFLY_DOCKERFILE_INVALID', `There is no ${path}`, { hint: 'Name it: -f path/to/Dockerfile.' })
}

/** Throws ERR_MAYFLY_DOCKERFILE_INVALID for what is there and cannot be read. */
async function textOf(path: string): Promise<string | undefined> {
  return await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT' || cause.code === 'ENOTDIR') return undefined
    throw new MayflyError('ERR_MAYFLY_DOCKERFILE_INVALID', `${path} cannot be read: ${cause.code ?? cause.message}`, { cause })
  })
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined
  return () => (made ??= make())
}

async function served(url: string, signal: AbortSignal): Promise<Readable> {
  const answer = await fetch(url, { signal }).catch((cause: unknown) => {
    throw new MayflyError('ERR_MAYFLY_BUILD_FAILED', `The build context ${url} cannot be fetched`, { cause })
  })
  if (!answer.ok || answer.body === null) throw new MayflyError('ERR_MAYFLY_BUILD_FAILED', `The build context ${url}: the server answered ${String(answer.status)}`)
  return Readable.fromWeb(answer.body as never)
}

/** A tar by the native program, which lets no entry lead outside; anything else is a Dockerfile without a context. */
async function unpacked(options: BuildOptions, stream: Readable, scratch: string): Promise<Context> {
  const { head, whole } = await beginning(stream)
  if (head.length > 0 && !isTar(head) && !isCompressed(head)) {
    const chunks: Buffer[] = []
    for await (const chunk of whole as AsyncIterable<Buffer>) chunks.push(chunk)
    return foreign({ ...options, dockerfile: options.dockerfile ?? Buffer.concat(chunks).toString('utf8') }, scratch)
  }
  await mkdir(scratch, { recursive: true, mode: 0o700 })
  if (head.length === 0) return foreign(options, scratch)
  const untar = startUntar(scratch)
  try {
    await pipeline(plain(whole, head), untar.input)
  } catch (error) {
    // The native program says why it stopped reading.
    if ((error as NodeJS.ErrnoException).code === 'EPIPE') await untar.done
    untar.kill()
    throw isMayflyError(error) ? error : new MayflyError('ERR_MAYFLY_BUILD_FAILED', 'The build context cannot be read', { cause: error })
  }
  await untar.done
  return foreign(options, scratch)
}

/** Enough of a stream to tell what it is, and the stream with that still in it. */
async function beginning(stream: Readable): Promise<{ readonly head: Buffer; readonly whole: Readable }> {
  const iterator = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>
  const first: Buffer[] = []
  let length = 0
  while (length < 512) {
    const next = await iterator.next()
    if (next.done === true) break
    const chunk = Buffer.from(next.value)
    first.push(chunk)
    length += chunk.length
  }
  const head = Buffer.concat(first)
  const whole = Readable.from((async function* (): AsyncGenerator<Buffer> {
    yield head
    for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) yield next.value
  })(), { objectMode: false })
  return { head, whole }
}

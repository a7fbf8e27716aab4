import { spawn } from 'node:child_process'
import { posix, resolve } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'

import { isError, MayflyError } from '../errors.js'
import { nativeBinary, type Connection } from '../native/index.js'
import { absolute } from '../sandbox/invalid.js'
import { Operations, type CopyInto } from '../sandbox/operations.js'
import { resolveUser } from '../sandbox/index.js'
import { copyError } from './copy-error.js'
import type { CopyInOptions, CopyOptions, CopySource } from './copy-types.js'
import { FLAG, startProcess } from './process.js'
import type { Process } from './types.js'

/** A container whose files are there: it runs, has ended, or has still to start. */
export interface Files {
  readonly connection: Connection
  readonly id: string
  readonly name: string
  /** Its image's /etc/passwd and /etc/group. */
  readonly accounts: () => Promise<readonly [string, string]>
}

const ROOT = 0
const DIRECTORY_BITS = 0o7777

/** See `Container.copyIn`. */
export async function copyInto(files: Files, source: CopySource, target: string, options: CopyInOptions = {}): Promise<void> {
  check(options)
  const place = absolute('target of a copy', target)
  const tree = typeof source === 'object' && 'tar' in source
  const owners = options.archive === true || (tree && options.user === undefined)
  const [uid, gid] = options.user === undefined ? [ROOT, ROOT] : await ownerOf(files, options.user)
  const into: CopyInto = { target: keptEnd(target, place), parents: options.parents !== false, resource: !tree, owners, uid, gid, mode: options.mode }
  const process = await startProcess(files.connection, files.id, new Operations().files().copyIn(into), FLAG.stdin | FLAG.files)
  try {
    // After it: what a source's program prints before anybody listens would be lost.
    const input = await tarOf(source, into.target, options)
    await carry(files, process, options, input, pipeline(input.stream, process.stdin))
  } catch (error) {
    await process[Symbol.asyncDispose]()
    throw error
  }
}

/** See `Container.archive`. */
export async function archiveOf(files: Files, source: string, options: CopyOptions = {}): Promise<Readable> {
  check(options)
  const path = keptEnd(source, absolute('source of a copy', source))
  const process = await startProcess(files.connection, files.id, new Operations().files().copyOut(path, options.follow === true), FLAG.files)
  let failed: unknown
  const done = carry(files, process, options).catch((error: unknown) => { failed = error })
  // Its end is told only when it is known to be whole.
  return Readable.from((async function* pieces() {
    try {
      for await (const piece of process.stdout as AsyncIterable<Buffer>) yield piece
      await done
      if (failed !== undefined) throw isError(failed) ? failed : new Error(String(failed))
    } finally {
      await process[Symbol.asyncDispose]()
    }
  })(), { objectMode: false })
}

/** See `Container.copyOut`. */
export async function copyFrom(files: Files, source: string, target: string, options: CopyOptions = {}): Promise<void> {
  const stream = await archiveOf(files, source, options)
  const words = ['copy-in', ...(options.parents === false ? [] : ['--parents']), ...(options.archive === true ? ['--owners'] : [])]
  const child = spawn(nativeBinary(), [...words, keptEnd(target, resolve(target))], { stdio: ['pipe', 'ignore', 'pipe'] })
  const ended = outcome(child)
  const sent = pipeline(stream, child.stdin)
  const [how, sending] = await Promise.allSettled([ended, sent])
  // That the receiving end closed its pipe says less than why it did.
  const trouble = how.status === 'fulfilled' ? how.value : String(how.reason)
  if (sending.status === 'rejected' && !isPipeEnd(sending.reason)) throw sending.reason
  if (trouble !== '') throw copyError(trouble, 'this machine', `${files.name}:${source} cannot be copied to ${target}`)
}

interface Input {
  readonly stream: Readable
  /** Why the source could not be read; empty when it could. */
  readonly trouble: Promise<string>
}

async function tarOf(source: CopySource, target: string, { follow, mode }: CopyInOptions): Promise<Input> {
  if (typeof source === 'string') {
    if (source === '' || source.includes('\0')) throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `Invalid source of a copy ${JSON.stringify(source)}: it is a path`)
    const child = spawn(nativeBinary(), ['copy-out', ...(follow === true ? ['--follow'] : []), keptEnd(source, resolve(source))], { stdio: ['ignore', 'pipe', 'pipe'] })
    const ended = outcome(child)
    return { stream: child.stdout, trouble: ended }
  }
  const trouble = Promise.resolve('')
  if ('tar' in source) return { stream: streamOf(source.tar), trouble }
  const bytes = await bytesOf(source.content)
  const { pack } = await import('tar-stream')
  const tar = pack()
  const name = posix.basename(target)
  tar.entry({ name: name === '' || target.endsWith('/') ? 'content' : name, mode: mode ?? 0o644, mtime: new Date() }, bytes)
  tar.finalize()
  return { stream: Readable.from(tar as AsyncIterable<Buffer>, { objectMode: false }), trouble }
}

async function bytesOf(content: string | Uint8Array | Readable): Promise<Buffer> {
  if (typeof content === 'string' || content instanceof Uint8Array) return Buffer.from(content)
  const pieces: Buffer[] = []
  for await (const piece of content as AsyncIterable<Buffer | string>) pieces.push(Buffer.from(piece))
  return Buffer.concat(pieces)
}

/** Waits for the copying process's end. Whoever gives up lets it tidy up what it was about to write. */
async function carry({ name }: Files, process: Process, { timeout, signal }: CopyOptions, input?: Input, sent?: Promise<void>): Promise<void> {
  let reason: MayflyError | undefined
  const stop = (why: MayflyError): void => {
    reason ??= why
    input?.stream.destroy()
    if (input === undefined) process.kill().catch(() => undefined)
    else process.stdin.end()
  }
  const abort = (): void => stop(new MayflyError('ERR_MAYFLY_ABORTED', 'The copy was aborted', { cause: signal?.reason }))
  const timer = timeout === undefined ? undefined : setTimeout(() => stop(new MayflyError('ERR_MAYFLY_TIMEOUT', `The copy took longer than ${timeout} ms`)), timeout)
  signal?.addEventListener('abort', abort, { once: true })
  if (signal?.aborted === true) abort()
  let said = ''
  process.stderr.on('data', (piece: Buffer) => { said += piece.toString('utf8') })
  const told = new Promise((resolve) => void process.stderr.once('close', resolve))
  if (input !== undefined) process.stdout.resume()
  let sending: unknown
  const sender = sent?.catch((error: unknown) => {
    sending = error
    process.stdin.end()
  })
  try {
    const exit = await process.exit
    await told
    input?.stream.destroy()
    await sender
    const trouble = await input?.trouble ?? ''
    if (reason !== undefined) throw reason
    if (trouble !== '' && !trouble.startsWith('ended by')) throw copyError(trouble, 'this machine', `It cannot be copied into ${name}`)
    if (said !== '') throw copyError(said, name, input === undefined ? `It cannot be copied out of ${name}` : `It cannot be copied into ${name}`)
    if (exit.signal !== undefined) throw new MayflyError('ERR_MAYFLY_NOT_RUNNING', `${name} was removed while files were being copied`)
    if (exit.code !== 0) throw new MayflyError('ERR_MAYFLY_COPY_FAILED', `The copy ended with ${exit.code}`)
    if (isError(sending) && !isPipeEnd(sending)) throw sending
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', abort)
  }
}

/** What a copying command says, empty when it did its work. */
function outcome(child: ReturnType<typeof spawn>): Promise<string> {
  let said = ''
  child.stderr?.on('data', (piece: Buffer) => { said += piece.toString('utf8') })
  child.stdin?.on('error', () => undefined)
  const ended = new Promise<string>((resolve, reject) => {
    child.once('error', (cause) => reject(new MayflyError('ERR_MAYFLY_NATIVE_FAILED', `Cannot start the native program: ${cause.message}`, { cause })))
    child.once('close', (code, signal) => resolve(code === 0 ? '' : said !== '' ? said : `ended by ${signal ?? code}`))
  })
  ended.catch(() => undefined)
  return ended
}

/** What a path's end says about it is no part of where it leads: `/` for a directory, `/.` for what is in it. */
function keptEnd(given: string, path: string): string {
  const clean = posix.normalize(path).replace(/\/+$/, '')
  const [end = ''] = /\/\.?$/.exec(given) ?? (given === '.' ? ['/.'] : [])
  return clean === '' ? '/' : `${clean}${end}`
}

async function ownerOf({ accounts }: Files, user: string): Promise<readonly [number, number]> {
  const [passwd, group] = await accounts()
  const { uid, gid } = resolveUser(user, passwd, group)
  return [uid, gid]
}

function check({ mode, timeout, archive, user }: CopyInOptions): void {
  if (mode !== undefined && !(Number.isInteger(mode) && mode >= 0 && mode <= DIRECTORY_BITS)) {
    throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `Invalid mode ${String(mode)}: a number from 0 to 0o7777, such as 0o644`, { details: { option: 'mode' } })
  }
  if (timeout !== undefined && !(typeof timeout === 'number' && timeout > 0)) {
    throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `Invalid timeout ${String(timeout)}: milliseconds, a number above 0`, { details: { option: 'timeout' } })
  }
  if (archive === true && user !== undefined) {
    throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', 'archive and user contradict each other: one keeps the owners, the other gives one', { details: { option: 'user' } })
  }
}

function isPipeEnd(error: unknown): boolean {
  return ['EPIPE', 'ERR_STREAM_PREMATURE_CLOSE', 'ERR_STREAM_DESTROYED', 'ECONNRESET', 'ERR_MAYFLY_STDIN_CLOSED', 'ABORT_ERR'].includes(String((error as NodeJS.ErrnoException).code))
}

/** A stream stays itself: one in between could not be ended while it waits for more. */
function streamOf(bytes: Uint8Array | AsyncIterable<unknown>): Readable {
  if (bytes instanceof Uint8Array) return Readable.from([Buffer.from(bytes)], { objectMode: false })
  return 'pipe' in bytes && 'destroy' in bytes ? bytes as Readable : Readable.from(bytes, { objectMode: false })
}

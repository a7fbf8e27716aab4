import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import type { Writable } from 'node:stream'

import { MayflyError } from '../errors.js'
import { nativeBinary } from '../native/binary.js'

/** What `untar` says about a layer that its lower layers must settle. Paths are relative to the layer's root. */
export interface UntarReport {
  /** Directories made because an entry needed them, without an entry of their own. */
  readonly implicit: readonly string[]
  /** Hard links whose target is not in this layer. */
  readonly linksBelow: readonly { readonly path: string, readonly target: string }[]
  /** What the archive says about the layer's root directory; absent when it has no entry for it. */
  readonly root?: { readonly mode: number, readonly uid: number, readonly gid: number } | undefined
}

export interface Untar {
  readonly input: Writable
  /** Resolves once the whole tar was unpacked. Throws ERR_MAYFLY_LAYER_INVALID or ERR_MAYFLY_NATIVE_FAILED. */
  readonly done: Promise<UntarReport>
  kill(): void
}

/** Unpacks a plain tar, written to `input`, into an empty directory. */
export function startUntar(directory: string): Untar {
  const child = spawn(nativeBinary(), ['untar', directory], { stdio: ['pipe', 'pipe', 'pipe'] })
  // A broken pipe shows in the exit status, which says why.
  child.stdin.on('error', () => undefined)
  const done = finish(child)
  done.catch(() => undefined)
  return { input: child.stdin, done, kill: () => { child.kill('SIGKILL') } }
}

/** A lock that other processes honour, held until released; the kernel releases it with the process. */
export interface FileLock {
  release(): Promise<void>
}

/** Takes the lock on `file`, waiting for other holders. Throws ERR_MAYFLY_ABORTED or ERR_MAYFLY_NATIVE_FAILED. */
export async function lockFile(file: string, signal?: AbortSignal): Promise<FileLock> {
  const child = spawn(nativeBinary(), ['lock', file], { stdio: ['pipe', 'pipe', 'pipe'] })
  child.stdin.on('error', () => undefined)
  const ended = new Promise<void>((resolve) => { child.once('close', () => { resolve() }) })
  const abort = (): void => { child.kill('SIGKILL') }
  signal?.addEventListener('abort', abort, { once: true })
  if (signal?.aborted === true) abort()
  try {
    const outcome = await Promise.race([locked(child), failed(child)])
    if (outcome instanceof Error) {
      throw signal?.aborted === true
        ? new MayflyError('ERR_MAYFLY_ABORTED', 'The pull was aborted', { cause: signal.reason })
        : outcome
    }
  } finally {
    signal?.removeEventListener('abort', abort)
  }
  return {
    release: async () => {
      child.stdin.end()
      await ended
    },
  }
}

async function locked(child: ChildProcess): Promise<undefined> {
  if (child.stdout !== null) await once(child.stdout, 'data').catch(() => new Promise(() => undefined))
  return undefined
}

async function failed(child: ChildProcess): Promise<MayflyError> {
  const text = collect(child.stderr)
  const status = await exit(child)
  return new MayflyError('ERR_MAYFLY_NATIVE_FAILED', `Cannot lock the image store: ${text() || status}`)
}

async function finish(child: ChildProcess): Promise<UntarReport> {
  const output = collect(child.stdout)
  const trouble = collect(child.stderr)
  const status = await exit(child)
  if (status === '') return parseReport(output())
  const why = trouble().trim() || status
  throw new MayflyError('ERR_MAYFLY_LAYER_INVALID', `A layer cannot be unpacked: ${why}`, { details: { why } })
}

/** Lines `root MODE UID GID`, `implicit PATH`, `below PATH<tab>TARGET` and at last `done …`; names hold no control characters. */
export function parseReport(text: string): UntarReport {
  const implicit: string[] = []
  const linksBelow: { path: string, target: string }[] = []
  let root: UntarReport['root']
  for (const line of text.split('\n')) {
    const [, word, path = '', target = ''] = /^(\w+) ([^\t]*)\t?(.*)$/.exec(line) ?? []
    if (word === 'implicit') implicit.push(path)
    if (word === 'below') linksBelow.push({ path, target })
    const [, mode, uid, gid] = (word === 'root' && /^([0-7]+) (\d+) (\d+)$/.exec(path)) || []
    if (mode !== undefined) root = { mode: Number.parseInt(mode, 8), uid: Number(uid), gid: Number(gid) }
  }
  return { implicit, linksBelow, root }
}

async function exit(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    child.once('error', (cause) => {
      reject(new MayflyError('ERR_MAYFLY_NATIVE_FAILED', `Cannot start the native program: ${cause.message}`, { cause }))
    })
    child.once('close', (code, signal) => {
      resolve(code === 0 ? '' : signal === null ? `exit status ${code}` : `ended by ${signal}`)
    })
  })
}

function collect(stream: NodeJS.ReadableStream | null): () => string {
  const chunks: Buffer[] = []
  stream?.on('data', (chunk: Buffer) => chunks.push(chunk))
  return () => Buffer.concat(chunks).toString('utf8')
}

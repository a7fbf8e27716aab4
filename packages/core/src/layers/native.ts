import { spawn, type ChildProcess } from 'node:child_process'
import type { Writable } from 'node:stream'

import { digestFromHex, type Digest } from '../digest.js'
import { MayflyError } from '../errors.js'
import { nativeBinary } from '../native/binary.js'
import { enterWords, privilege } from '../native/privilege.js'

/** What `untar` says about a layer that its lower layers must settle. Paths are relative to the layer's root. */
export interface UntarReport {
  /** Directories made because an entry needed them, without an entry of their own. */
  readonly implicit: readonly string[]
  /** Hard links whose target is not in this layer. */
  readonly linksBelow: readonly { readonly path: string, readonly target: string }[]
  /** Directories that hide what lower layers have under their names; '' is the root. */
  readonly opaque: readonly string[]
  /** How many device nodes were left out, which only root can make. */
  readonly devices: number
  /** Bytes of its files. */
  readonly bytes: number
  /** Of a layer that was settled at once: digest and bytes of its tar as it would be written, and bytes of the files in that. */
  readonly measured?: { readonly diffId: Digest, readonly size: number, readonly files: number } | undefined
  /** What the archive says about the layer's root directory; absent when it has no entry for it. */
  readonly root?: { readonly mode: number, readonly uid: number, readonly gid: number } | undefined
}

export interface Untar {
  readonly input: Writable
  /** Resolves once the whole tar was unpacked. Throws ERR_MAYFLY_LAYER_INVALID or ERR_MAYFLY_NATIVE_FAILED. */
  readonly done: Promise<UntarReport>
  kill(): void
}

/** Unpacks a plain tar, written to `input`, into an empty directory. With `over` it is settled by those layers (top first) and measured, all of it being new. */
export function startUntar(directory: string, over?: { readonly lowers: readonly string[], readonly latest?: number | undefined }): Untar {
  const latest = over?.latest === undefined ? [] : ['--latest', String(over.latest)]
  const words = over === undefined ? [directory] : ['--measure', ...recordedOwners(), ...latest, directory, ...over.lowers]
  const child = spawn(nativeBinary(), [...enterWords(), 'untar', ...untarOptions(), ...words], { stdio: ['pipe', 'pipe', 'pipe'] })
  // A broken pipe shows in the exit status, which says why.
  child.stdin.on('error', () => undefined)
  const done = finish(child)
  done.catch(() => undefined)
  return { input: child.stdin, done, kill: () => { child.kill('SIGKILL') } }
}

/** What came of a layer; absent hashes were not reached. */
export interface UnpackOutcome {
  /** SHA-256 of the bytes as they came, 64 hexadecimal digits. */
  readonly digest?: string | undefined
  /** The same of the plain tar. */
  readonly plain?: string | undefined
  readonly report?: UntarReport | undefined
  /** Why there is no report: ERR_MAYFLY_LAYER_INVALID, ERR_MAYFLY_STORE_FAILED. */
  readonly error?: MayflyError
}

export interface Unpack {
  readonly input: Writable
  /** Resolves once the input has ended, or the program. Throws ERR_MAYFLY_NATIVE_FAILED. */
  readonly done: Promise<UnpackOutcome>
  kill(): void
}

/** Inflates (gzip or nothing), hashes and unpacks the layer written to `input` into an empty directory; `keep` takes its bytes as they come; `plain` bytes and `entries` are the most it may have. */
export function startUnpack(directory: string, { keep, plain, entries }: { readonly keep?: string | undefined, readonly plain: number, readonly entries: number }): Unpack {
  const words = ['--max-plain', String(plain), '--max-entries', String(entries), ...(keep === undefined ? [] : ['--keep', keep])]
  const child = spawn(nativeBinary(), [...enterWords(), 'unpack', ...words, ...untarOptions(), directory], { stdio: ['pipe', 'pipe', 'pipe'] })
  child.stdin.on('error', () => undefined)
  const done = outcomeOf(child)
  done.catch(() => undefined)
  return { input: child.stdin, done, kill: () => { child.kill('SIGKILL') } }
}

async function outcomeOf(child: ChildProcess): Promise<UnpackOutcome> {
  const output = collect(child.stdout)
  const trouble = collect(child.stderr)
  const status = await exit(child)
  const text = output()
  const [, digest] = /^digest ([0-9a-f]{64})$/m.exec(text) ?? []
  if (status !== '') return { digest, error: await layerError(trouble().trim() || status) }
  return { digest, plain: /^plain ([0-9a-f]{64})$/m.exec(text)?.[1], report: parseReport(text) }
}

/** An ordinary user's overlay reads other attributes than root's, and one with a single id owns every file. */
function untarOptions(): string[] {
  const own = privilege()
  if (own.mode === 'root') return []
  return own.map.lacking === undefined ? ['--userxattr'] : ['--userxattr', '--no-owners']
}

/** Where one id owns every file, unpacking wrote down whose they are; elsewhere the files say so, and nothing else may. */
export function recordedOwners(): string[] {
  const own = privilege()
  return own.mode === 'root' || own.map.lacking === undefined ? [] : ['--recorded-owners']
}

/** Whether a layer means the same whatever lies below it. */
export function isSelfContained({ implicit, linksBelow }: UntarReport): boolean {
  return implicit.length === 0 && linksBelow.length === 0
}

/**
 * Completes a freshly unpacked layer with what its lower layers (top first) decide: implicit directories take mode,
 * owner and times from below, hard links into lower layers are made. Throws ERR_MAYFLY_LAYER_INVALID.
 */
export async function settle(directory: string, report: UntarReport, lowers: readonly string[]): Promise<void> {
  const lines = [
    ...report.linksBelow.map(({ path, target }) => `below ${path}\t${target}\n`),
    ...report.implicit.map((path) => `implicit ${path}\n`),
  ]
  // Starting a program costs 5 ms of this process.
  if (lines.length === 0) return
  await carryOut(['settle', directory, ...lowers], lines.join(''), (why) =>
    new MayflyError('ERR_MAYFLY_LAYER_INVALID', `A layer cannot be completed: ${why}`, { details: { why } }))
}

/** Deletes a tree, whoever owns its parts. Throws ERR_MAYFLY_STORE_FAILED. */
export async function removeTree(path: string): Promise<void> {
  await carryOut(['remove', path], '', (why) => new MayflyError('ERR_MAYFLY_STORE_FAILED', `Cannot delete ${path}: ${why}`))
}

/**
 * Deletes the lock files in `locks` that nobody holds, moving what lies under their names in `work` to `trash` first. Throws
 * ERR_MAYFLY_STORE_FAILED.
 */
export async function dropIdleLocks(locks: string, moved?: { readonly work: string, readonly trash: string }): Promise<void> {
  const words = moved === undefined ? [] : [moved.work, moved.trash]
  // As oneself: locks are never a container's.
  await carryOut(['idle', locks, ...words], '', (why) => new MayflyError('ERR_MAYFLY_STORE_FAILED', `Cannot look through ${locks}: ${why}`), [])
}

/** Finishes what dead runs under `runs` left. Throws ERR_MAYFLY_STORE_FAILED. */
export async function finishDeadRuns(runs: string): Promise<void> {
  await carryOut(['gc', runs], '', (why) =>
    new MayflyError('ERR_MAYFLY_STORE_FAILED', `What dead runs left under ${runs} cannot all be removed: ${why}`))
}

async function carryOut(
  words: readonly string[], input: string, failure: (why: string) => MayflyError, enter: readonly string[] = enterWords(),
): Promise<void> {
  const child = spawn(nativeBinary(), [...enter, ...words], { stdio: ['pipe', 'ignore', 'pipe'] })
  child.stdin.on('error', () => undefined)
  child.stdin.end(input)
  const trouble = collect(child.stderr)
  const status = await exit(child)
  if (status !== '') throw failure(trouble().trim() || status)
}

/**
 * Writes the file system of `directory` to disk, then renames files in it, in a process of its own that nobody waits for
 * and that outlives this one. What cannot be done is left for another time.
 */
export function syncAside(directory: string, renames: readonly (readonly [from: string, to: string])[]): void {
  const child = spawn(nativeBinary(), ['sync', directory, ...renames.flat()], { stdio: 'ignore', detached: true })
  child.on('error', () => undefined)
  child.unref()
}

async function finish(child: ChildProcess): Promise<UntarReport> {
  const output = collect(child.stdout)
  const trouble = collect(child.stderr)
  const status = await exit(child)
  if (status === '') return parseReport(output())
  throw await layerError(trouble().trim() || status)
}

/** What the native program says of a layer, as an error. */
export async function layerError(why: string): Promise<MayflyError> {
  const message = `A layer cannot be unpacked: ${why}`
  if (/^mayfly-native: userns/m.test(why)) return (await import('../native/diagnose.js')).unprivileged(message)
  const [, errno] = /: (ENOSPC|EDQUOT|EIO|EROFS)$/m.exec(why) ?? []
  if (errno === undefined) {
    const hint = /larger than allowed|too many entries/.test(why) ? 'If the image can be trusted: MAYFLY_LAYER_MAX_SIZE, MAYFLY_LAYER_MAX_RATIO and MAYFLY_LAYER_MAX_ENTRIES allow more.' : undefined
    return new MayflyError('ERR_MAYFLY_LAYER_INVALID', message, { hint, details: { why } })
  }
  return new MayflyError('ERR_MAYFLY_STORE_FAILED', message, {
    hint: errno === 'ENOSPC' ? 'The disk is full.' : 'Look after the disk that holds the image store.', details: { why },
  })
}

/** Lines `root MODE UID GID`, `implicit PATH`, `opaque PATH`, `below PATH<tab>TARGET`, `devices COUNT`, `done …`, and of a measured layer `plain DIGEST BYTES` and `files BYTES`; names hold no control characters. */
export function parseReport(text: string): UntarReport {
  const implicit: string[] = []
  const linksBelow: { path: string, target: string }[] = []
  const opaque: string[] = []
  let devices = 0
  let bytes = 0
  let root: UntarReport['root']
  const [, plain, size, files] = /^plain ([0-9a-f]{64}) (\d+)\nfiles (\d+)$/m.exec(text) ?? []
  const measured = plain === undefined ? undefined : { diffId: digestFromHex(plain), size: Number(size), files: Number(files) }
  for (const line of text.split('\n')) {
    const [, word, path = '', target = ''] = /^(\w+) ([^\t]*)\t?(.*)$/.exec(line) ?? []
    if (word === 'implicit') implicit.push(path)
    if (word === 'opaque') opaque.push(path)
    if (word === 'below') linksBelow.push({ path, target })
    if (word === 'devices') devices = Number(path)
    if (word === 'done') bytes = Number(path.split(' ')[1] ?? 0)
    const [, mode, uid, gid] = (word === 'root' && /^([0-7]+) (\d+) (\d+)$/.exec(path)) || []
    if (mode !== undefined) root = { mode: Number.parseInt(mode, 8), uid: Number(uid), gid: Number(gid) }
  }
  return { implicit, linksBelow, opaque, devices, bytes, root, measured }
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

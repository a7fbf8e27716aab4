import { createHash, randomBytes } from 'node:crypto'
import { createReadStream, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { access, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'

import { digestOf, hexOf, type Digest } from '../digest.js'
import { MayflyError } from '../errors.js'
import { removeTree } from '../layers/native.js'
import { privilege } from '../native/privilege.js'
import { requireLinux } from '../platform.js'

/** The content-addressed image store of one user. */
export interface Store {
  /** Absolute path of its directory, mode 0700. */
  readonly home: string
  /** Absolute path of the unpacked layers: with other ids than they were unpacked for, their owners would be wrong. */
  readonly layers: string
  /** Identifies the running boot; a layer unpacked in an earlier one may not have reached the disk. */
  readonly bootId: string
}

/**
 * Opens the store, making its directories. Default: MAYFLY_HOME, else $XDG_CACHE_HOME/mayfly, else ~/.cache/mayfly.
 * Throws ERR_MAYFLY_NOT_LINUX, ERR_MAYFLY_STORE_FAILED, ERR_MAYFLY_STORE_FOREIGN.
 */
export async function openStore(home: string = defaultHome()): Promise<Store> {
  requireLinux()
  const root = claimHome(home)
  const layers = layersName()
  try {
    for (const name of ['blobs/sha256', 'refs', layers, 'ingest', 'leases', 'locks', 'trash']) {
      await mkdir(join(root, name), { recursive: true, mode: 0o700 })
    }
  } catch (cause) {
    throw storeFailed(`Cannot make the image store in ${root}`, cause)
  }
  const bootId = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => 'unknown')
  return { home: root, layers: join(root, layers), bootId: bootId.trim() }
}

/**
 * Makes the directory of store and runs, or refuses one of the other mode: root's overlays and a user's do not read each
 * other's marks, and neither could delete what the other made. Throws ERR_MAYFLY_STORE_FAILED, ERR_MAYFLY_STORE_FOREIGN.
 */
export function claimHome(home: string = defaultHome()): string {
  const root = resolve(home)
  const { mode } = privilege()
  const file = join(root, 'mode')
  try {
    mkdirSync(root, { recursive: true, mode: 0o700 })
    // Empty: another process is about to write it.
    const found = readMode(file) || undefined
    if (found === undefined) writeFileSync(file, `${mode}\n`, { mode: 0o600 })
    if (found === undefined || found === mode) return root
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EACCES') throw storeFailed(`Cannot make the image store in ${root}`, cause)
  }
  const whose = mode === 'root' ? 'an ordinary user' : 'root, or by somebody else'
  throw new MayflyError('ERR_MAYFLY_STORE_FOREIGN', `The image store in ${root} was made by ${whose}`, {
    hint: 'Set MAYFLY_HOME to a directory of your own: the two kinds of store cannot be shared.',
  })
}

function readMode(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

function layersName(): string {
  const own = privilege()
  if (own.mode === 'root') return 'layers'
  return `layers-${createHash('sha256').update(`${own.map.uids} ${own.map.gids}`).digest('hex').slice(0, 12)}`
}

export function defaultHome(env: Readonly<Record<string, string | undefined>> = process.env): string {
  const own = env['MAYFLY_HOME']
  if (own !== undefined && own !== '') return own
  const cache = env['XDG_CACHE_HOME']
  return join(cache !== undefined && cache !== '' ? cache : join(env['HOME'] ?? homedir(), '.cache'), 'mayfly')
}

export function blobPath(store: Store, digest: Digest): string {
  return join(store.home, 'blobs', 'sha256', hexOf(digest))
}

export async function hasBlob(store: Store, { digest }: { readonly digest: Digest }): Promise<boolean> {
  return await access(blobPath(store, digest)).then(() => true, () => false)
}

/** A small blob of the store, verified; `undefined` when missing or damaged. */
export async function readBlob(store: Store, digest: Digest): Promise<Buffer | undefined> {
  const bytes = await readFile(blobPath(store, digest)).catch(absent(undefined))
  return bytes !== undefined && digestOf(bytes) === digest ? bytes : undefined
}

/** Instead of what is not there. What cannot be read for another reason must not be taken for missing: it would be collected. */
export function absent<T>(instead: T): (error: NodeJS.ErrnoException) => T {
  return (error) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return instead
    throw error
  }
}

/** The SHA-256 of a file of any size, as hexadecimal digits. */
export async function hashFile(file: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(file, { highWaterMark: 2 ** 20 }), hash)
  return hash.digest('hex')
}

/** Replaces a file so that a reader sees the old or the new content, never a part. */
export async function writeAtomically(file: string, content: Buffer | string): Promise<void> {
  const temporary = `${file}.${randomBytes(6).toString('hex')}.tmp`
  try {
    for (let attempt = 1; ; attempt += 1) {
      await mkdir(dirname(file), { recursive: true, mode: 0o700 })
      try {
        await writeFile(temporary, content, { mode: 0o600, flag: 'wx' })
        break
      } catch (error) {
        // Whoever removed the last name there took the directory away.
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || attempt === 5) throw error
      }
    }
    await rename(temporary, file)
  } catch (cause) {
    await rm(temporary, { force: true })
    throw storeFailed(`Cannot write to the image store: ${file}`, cause)
  }
}

/** Moves a tree out of sight at once, then deletes it. */
export async function discardTree(store: Store, path: string): Promise<void> {
  const trash = join(store.home, 'trash', randomBytes(8).toString('hex'))
  try {
    await rename(path, trash)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw storeFailed(`Cannot move ${path} away`, error)
  }
  // An ordinary user deletes what is all its own, as on a machine that allows no more; the rest is its containers' users'.
  await rm(trash, { recursive: true, force: true }).catch((error: unknown) => {
    if (privilege().mode === 'root') throw error
    return removeTree(trash)
  })
}

export function storeFailed(what: string, cause: unknown): MayflyError {
  const code = (cause as NodeJS.ErrnoException).code ?? String(cause)
  return new MayflyError('ERR_MAYFLY_STORE_FAILED', `${what}: ${code}`, {
    cause,
    hint: code === 'ENOSPC' ? 'The disk is full.' : 'Check the permissions there, or set MAYFLY_HOME to a directory of yours.',
  })
}

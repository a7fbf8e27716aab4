import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { lstat, readdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { digestFromHex, type Digest } from '../digest.js'
import { dropIdleLocks, finishDeadRuns, lockFile, removeTree } from '../layers/index.js'
import { privilege } from '../native/privilege.js'
import { listCatalog, type StoredImage } from './catalog.js'
import { treeSize } from './du.js'
import { sweepLock, sweepMark } from './lease.js'
import { findReachable, idsOfRuns, type Reachable } from './reach.js'
import { filesUnder, removeRef } from './refs.js'
import { storeFailed, type Store } from './store.js'

export interface GarbageOptions {
  /**
   * Chooses images whose names are taken away before what is unreachable goes. Those that a live run's containers were
   * made from are not offered. Default: none.
   */
  readonly retire?: ((idle: readonly StoredImage[], all: readonly StoredImage[]) => readonly StoredImage[]) | undefined
  /** Milliseconds since 1970. Default: now. */
  readonly now?: number | undefined
  readonly signal?: AbortSignal | undefined
}

/** What a collection took away. */
export interface Garbage {
  readonly images: readonly StoredImage[]
  readonly blobs: readonly Digest[]
  /** Unpacked layers, by diffId or chainId. */
  readonly layers: readonly Digest[]
  /** Of disk space. */
  readonly bytes: number
}

/** A small file is written in milliseconds; one that has been half written this long has no writer any more. */
const TORN = 60_000
/** Work without a lock of its own: moving a snapshot into its place. */
const ABANDONED = 3600_000

/**
 * Takes away what no name, snapshot, run or pull leads to, and what dead processes left half done. Safe at any time: pulls,
 * starts and containers go on. Throws ERR_MAYFLY_STORE_FAILED, ERR_MAYFLY_ABORTED.
 */
export async function collectGarbage(store: Store, options: GarbageOptions = {}): Promise<Garbage> {
  const now = options.now ?? Date.now()
  const trash = join(store.home, 'trash')
  await finishDeadRuns(join(store.home, 'runs')).catch(() => undefined)
  await dropIdleLocks(join(store.home, 'leases'))
  await dropIdleLocks(join(store.home, 'locks'), { work: join(store.home, 'ingest'), trash })
  await moveAbandoned(store, now)
  const lock = await lockFile(sweepLock(store.home), options.signal)
  try {
    await writeFile(sweepMark(store.home), '', { mode: 0o600 })
    const images = await retire(store, options)
    const swept = await sweep(store, await findReachable(store, now), now)
    await rm(sweepMark(store.home), { force: true })
    return { images, ...swept, bytes: swept.bytes + await emptyTrash(trash, now) }
  } catch (error) {
    await rm(sweepMark(store.home), { force: true }).catch(() => undefined)
    throw storeFailed('Cannot collect the garbage of the image store', error)
  } finally {
    await lock.release()
  }
}

async function retire(store: Store, { retire: choose }: GarbageOptions): Promise<readonly StoredImage[]> {
  if (choose === undefined) return []
  const used = await idsOfRuns(store)
  const all = await listCatalog(store)
  const chosen = choose(all.filter(({ id }) => !used.has(id)), all)
  for (const { names } of chosen) for (const { reference } of names) await removeRef(store, reference)
  return chosen
}

async function sweep(store: Store, { blobs, layers }: Reachable, now: number): Promise<{ blobs: Digest[], layers: Digest[], bytes: number }> {
  const gone = { blobs: [] as Digest[], layers: [] as Digest[], bytes: 0 }
  const directory = join(store.home, 'blobs', 'sha256')
  for (const name of await readdir(directory)) {
    const file = join(directory, name)
    if (!/^[0-9a-f]{64}$/.test(name)) {
      await removeTorn(file, now)
      continue
    }
    if (blobs.has(name)) continue
    gone.bytes += await stat(file).then(({ blocks }) => blocks * 512, () => 0)
    await rm(file, { force: true })
    gone.blobs.push(digestFromHex(name))
  }
  for (const room of await layerRooms(store)) {
    for (const name of await readdir(room)) {
      if (!/^[0-9a-f]{64}$/.test(name) || layers.has(name)) continue
      await rename(join(room, name), join(store.home, 'trash', `${name}-${randomBytes(6).toString('hex')}`))
      gone.layers.push(digestFromHex(name))
    }
  }
  await removeTornRefs(store, now)
  return gone
}

/** One for root, or for each id map of an ordinary user. */
export async function layerRooms(store: Store): Promise<string[]> {
  const names = await readdir(store.home)
  return names.filter((name) => /^layers(-[0-9a-f]{12})?$/.test(name)).map((name) => join(store.home, name))
}

async function removeTornRefs(store: Store, now: number): Promise<void> {
  for (const file of await filesUnder(join(store.home, 'refs'))) if (file.endsWith('.tmp')) await removeTorn(file, now)
}

async function removeTorn(file: string, now: number): Promise<void> {
  const found = await lstat(file).catch(() => undefined)
  if (found !== undefined && now - found.ctimeMs > TORN) await rm(file, { force: true, recursive: true })
}

async function moveAbandoned(store: Store, now: number): Promise<void> {
  const ingest = join(store.home, 'ingest')
  for (const name of await readdir(ingest)) {
    if (existsSync(join(store.home, 'locks', name))) continue
    const found = await lstat(join(ingest, name)).catch(() => undefined)
    if (found === undefined || now - found.ctimeMs < ABANDONED) continue
    await rename(join(ingest, name), join(store.home, 'trash', `${name}-${randomBytes(6).toString('hex')}`)).catch(() => undefined)
  }
}

/** What others are just deleting themselves costs nothing to delete as well. */
async function emptyTrash(trash: string, now: number): Promise<number> {
  let bytes = 0
  for (const name of await readdir(trash)) {
    const path = join(trash, name)
    const ours = /^[0-9a-f]{64}[-.]/.test(name)
    const found = await lstat(path).catch(() => undefined)
    if (found === undefined || (!ours && now - found.ctimeMs < TORN)) continue
    bytes += await treeSize(path)
    await rm(path, { recursive: true, force: true }).catch((error: unknown) => {
      if (privilege().mode === 'root') throw error
      return removeTree(path)
    })
  }
  return bytes
}

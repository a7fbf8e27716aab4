import { createHash, randomBytes } from 'node:crypto'
import { lstatSync, readdirSync } from 'node:fs'
import { access, mkdir, readdir, readFile, rename, stat, utimes, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'

import type { Digest } from '../digest.js'
import { MayflyError } from '../errors.js'
import { syncAside } from '../layers/index.js'
import { parseReference } from '../reference.js'
import type { ImageConfig } from './config.js'
import type { Image } from './image.js'
import { absent, discardTree, storeFailed, type Store } from './store.js'

/** A container's files as they were when it had stopped, kept as a layer over its image. */
export interface StoredSnapshot {
  /** Lower-case letters, digits and dashes. */
  readonly key: string
  /** What containers are made from: the image with one more layer. */
  readonly image: Image
  readonly createdAt: Date
  /** Bytes of its files. */
  readonly size: number
  readonly files: number
  /** Free text of whoever made it. */
  readonly label: string
}

interface SnapshotRecord {
  readonly version: 1
  readonly key: string
  readonly label: string
  /** Milliseconds since 1970. */
  readonly createdAt: number
  /** The boot in which it was made; absent once it is known to have reached the disk. */
  readonly bootId?: string
  readonly reference: string
  readonly id: Digest
  readonly digest: Digest
  readonly architecture: string
  readonly imageSize: number
  readonly config: ImageConfig
  /** The layers below it, relative to the store, top first, with their opaque directories. */
  readonly below: readonly { readonly directory: string; readonly opaque: readonly string[] }[]
  readonly contents: Contents
}

/** What is in a tree, to tell whether it still is. */
interface Contents {
  readonly files: number
  readonly size: number
  /** Over every name with its type, mode, size and time. */
  readonly fingerprint: string
}

const RECORD = 'snapshot.json'
const SYNCED_RECORD = 'synced.json'
const checked = new Map<string, Promise<StoredSnapshot | undefined>>()

/** Makes a container's upper directory a snapshot. The directory is moved, and must be on the store's file system. */
export async function placeSnapshot(store: Store, key: string, upper: string, image: Image, label: string): Promise<StoredSnapshot> {
  const target = pathOf(store, key)
  const ingest = join(store.home, 'ingest', `snapshot-${randomBytes(6).toString('hex')}`)
  try {
    await mkdir(ingest, { recursive: true, mode: 0o700 })
    const contents = contentsOf(upper)
    const record: SnapshotRecord = {
      version: 1, key, label, createdAt: Date.now(), reference: String(image.reference), id: image.id, digest: image.digest,
      architecture: image.architecture, imageSize: image.size, config: image.config, contents,
      below: image.stack.map(({ directory, opaque }) => ({ directory: relative(store.home, directory), opaque })),
    }
    await rename(upper, join(ingest, 'tree'))
    await writeFile(join(ingest, SYNCED_RECORD), JSON.stringify(record), { mode: 0o600 })
    await writeFile(join(ingest, RECORD), JSON.stringify({ ...record, bootId: store.bootId }), { mode: 0o600 })
    await mkdir(join(store.home, 'snapshots'), { recursive: true, mode: 0o700 })
    await discardTree(store, target)
    await rename(ingest, target)
    const stored = storedOf(store, record)
    checked.set(target, Promise.resolve(stored))
    // A snapshot is worth keeping over a restart of the machine, and nobody waits for the disk.
    syncAside(target, [[SYNCED_RECORD, RECORD]])
    return stored
  } catch (error) {
    await discardTree(store, ingest)
    throw storeFailed('Cannot keep a snapshot', error)
  }
}

/** The snapshot of a key, if it is whole: one that is damaged, or not known to have survived a restart, is none. */
export async function findSnapshot(store: Store, key: string): Promise<StoredSnapshot | undefined> {
  const target = pathOf(store, key)
  const known = checked.get(target)
  // Looked through once; later its directory stands for it.
  if (known !== undefined && await access(join(target, 'tree')).then(() => true, () => false)) return known
  const found = load(store, key)
  checked.set(target, found)
  const snapshot = await found
  if (snapshot === undefined) checked.delete(target)
  return snapshot
}

async function load(store: Store, key: string): Promise<StoredSnapshot | undefined> {
  const target = pathOf(store, key)
  const record = await readRecord(target)
  if (record === undefined || (record.bootId !== undefined && record.bootId !== store.bootId)) return undefined
  const stored = storedOf(store, record)
  const there = await Promise.all(stored.image.layers.map(directory => access(directory).then(() => true, () => false)))
  if (there.includes(false)) return undefined
  if (contentsOf(join(target, 'tree')).fingerprint !== record.contents.fingerprint) return undefined
  const now = new Date()
  await utimes(join(target, RECORD), now, now).catch(() => undefined)
  return stored
}

/** All snapshots of the store, damaged ones left out, newest first. */
export async function listSnapshots(store: Store): Promise<StoredSnapshot[]> {
  const keys = await readdir(join(store.home, 'snapshots')).catch(() => [])
  const records = await Promise.all(keys.map(key => readRecord(pathOf(store, key))))
  return records.flatMap(record => (record === undefined ? [] : [storedOf(store, record)]))
    .sort((a, b) => b.createdAt.getTime() - a.createdAt.getTime())
}

export interface TrimOptions {
  /** Bytes that all of them together may take. */
  readonly cap: number
  /** Keys of those that containers run from. */
  readonly used: ReadonlySet<string>
  /** Milliseconds since 1970. Default: now. */
  readonly now?: number | undefined
}

/** Somebody may be about to start from it. */
const RECENT = 3600_000

/** Deletes snapshots, the longest unused first, until the rest takes no more than the cap. Those used in the last hour stay. */
export async function trimSnapshots(store: Store, { cap, used, now = Date.now() }: TrimOptions): Promise<readonly StoredSnapshot[]> {
  const all = await Promise.all((await listSnapshots(store)).map(async snapshot => ({ snapshot, usedAt: await usedAt(store, snapshot.key) })))
  let bytes = all.reduce((sum, { snapshot }) => sum + snapshot.size, 0)
  const gone: StoredSnapshot[] = []
  for (const { snapshot, usedAt: at } of all.sort((a, b) => a.usedAt - b.usedAt)) {
    if (bytes <= cap) break
    if (used.has(snapshot.key) || now - at < RECENT) continue
    await discardSnapshot(store, snapshot.key)
    bytes -= snapshot.size
    gone.push(snapshot)
  }
  return gone
}

/** Its record's time: set whenever a process begins to use it. */
async function usedAt(store: Store, key: string): Promise<number> {
  return await stat(join(pathOf(store, key), RECORD)).then(({ mtimeMs }) => mtimeMs, () => 0)
}

/** What all snapshots need to be kept: manifests, and directories of layers relative to the store. */
export async function snapshotRoots(store: Store): Promise<string[]> {
  const keys = await readdir(join(store.home, 'snapshots')).catch(absent([]))
  const records = await Promise.all(keys.map(key => readRecord(join(store.home, 'snapshots', key))))
  return records.flatMap(record => record === undefined ? [] : [record.digest, ...record.below.map(({ directory }) => directory)])
}

/** Deletes a snapshot; harmless when it is not there. No container may run from it. */
export async function discardSnapshot(store: Store, key: string): Promise<void> {
  checked.delete(pathOf(store, key))
  await discardTree(store, pathOf(store, key))
}

async function readRecord(directory: string): Promise<SnapshotRecord | undefined> {
  const text = await readFile(join(directory, RECORD), 'utf8').catch(absent(''))
  try {
    const record = JSON.parse(text) as SnapshotRecord
    return record.version === 1 ? record : undefined
  } catch {
    return undefined
  }
}

function storedOf(store: Store, record: SnapshotRecord): StoredSnapshot {
  const tree = join(pathOf(store, record.key), 'tree')
  const below = record.below.map(({ directory, opaque }) => ({ directory: join(store.home, directory), opaque }))
  // Its own opaque directories are the kernel's to read; what is looked up here (users, groups) is rarely hidden by one.
  const stack = [{ directory: tree, opaque: [] }, ...below]
  const { key, label, id, digest, config, architecture, imageSize, contents } = record
  return {
    key, label, size: contents.size, files: contents.files, createdAt: new Date(record.createdAt),
    image: {
      reference: parseReference(record.reference), id, digest, config, architecture,
      size: imageSize, layers: stack.map(({ directory }) => directory), stack,
    },
  }
}

function pathOf(store: Store, key: string): string {
  if (!/^[a-z0-9][a-z0-9-]{3,127}$/.test(key)) {
    throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `${JSON.stringify(key)} is no key of a snapshot`)
  }
  return join(store.home, 'snapshots', key)
}

function contentsOf(tree: string): Contents {
  const hash = createHash('sha256')
  let files = 0
  let size = 0
  // A database has a thousand files, and every run looks at them once.
  const walk = (directory: string, prefix: string): void => {
    let facts = ''
    for (const name of namesOf(directory)) {
      const path = `${directory}/${name}`
      const stat = lstatSync(path)
      files += 1
      if (stat.isFile()) size += stat.size
      facts += `${prefix}${name}\0${stat.mode.toString(8)} ${stat.isFile() ? `${stat.size} ${stat.mtimeMs}` : ''}\0`
      if (!stat.isDirectory()) continue
      hash.update(facts)
      facts = ''
      walk(path, `${prefix}${name}/`)
    }
    hash.update(facts)
  }
  walk(tree, '')
  return { files, size, fingerprint: hash.digest('hex') }
}

/** In order. What an ordinary user may not look into is its containers' users'. */
function namesOf(directory: string): readonly string[] {
  try {
    return readdirSync(directory).sort()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EACCES') return []
    throw error
  }
}

import { readdir, readFile, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'

import { chainIds, hexOf, isDigest, type Digest } from '../digest.js'
import { isMayflyError } from '../errors.js'
import { parseManifest } from '../registry/index.js'
import { parseConfig } from './config.js'
import { loadManifest } from './image.js'
import { LEASES_OF_RUN } from './lease.js'
import { listRefs } from './refs.js'
import { snapshotRoots } from './snapshots.js'
import { absent, blobPath, readBlob, type Store } from './store.js'

/** What names, snapshots and leases lead to; everything else is garbage. Hexadecimal parts of digests. */
export interface Reachable {
  readonly blobs: ReadonlySet<string>
  /** By diffId or chainId. */
  readonly layers: ReadonlySet<string>
  readonly snapshots: ReadonlySet<string>
}

/** Larger than any manifest or configuration that a pull accepts. */
const DOCUMENT_LIMIT = 8 * 2 ** 20

/** Reads all roots and follows them. Nothing may be relied on that was written since, unless the writer waited for a sweep. */
export async function findReachable(store: Store, now: number = Date.now()): Promise<Reachable> {
  const found = { blobs: new Set<string>(), layers: new Set<string>(), snapshots: new Set<string>() }
  // In this order: a lease is given up when its name is there, or its snapshot.
  const lines = await leasedLines(store)
  const [refs, snapshots, cached] = await Promise.all([listRefs(store), snapshotRoots(store), buildRoots(store, now)])
  const digests = refs.flatMap(({ record }) => [record.digest, ...Object.values(record.manifests)])
  for (const line of [...digests, ...snapshots, ...cached, ...lines]) {
    if (isDigest(line)) await follow(store, line, found, 0)
    const [room, name] = line.split('/')
    if (room?.startsWith('layers') === true && name !== undefined) found.layers.add(name)
    if (room === 'snapshots' && name !== undefined) found.snapshots.add(name)
  }
  return found
}

/** How long a step of a build is kept after it was last used. */
const BUILD_CACHE = 14 * 86_400_000

/** What builds keep for the next one, as long as it is used. */
async function buildRoots(store: Store, now: number): Promise<string[]> {
  const directory = join(store.home, 'build')
  const names = (await readdir(directory).catch(absent([]))).filter((name) => name.endsWith('.json'))
  const found = await Promise.all(names.map(async (name) => {
    const file = join(directory, name)
    const used = (await stat(file).catch(absent(undefined)))?.mtimeMs ?? 0
    if (now - used > BUILD_CACHE) return []
    const text = await readFile(file, 'utf8').catch(absent(''))
    return [...text.matchAll(/"(sha256:[0-9a-f]{64})"/g)].map(([, digest]) => digest ?? '')
  }))
  return found.flat()
}

/** What the containers of live runs, and those that are kept, were made from: digests of manifests, and directories of layers and snapshots. */
export async function linesOfRuns(store: Store): Promise<string[]> {
  const files = await Promise.all(['runs', 'containers'].map(async (room) => {
    const ids = await readdir(join(store.home, room)).catch(absent([]))
    return ids.map((id) => join(store.home, room, id, LEASES_OF_RUN))
  }))
  return linesOf(files.flat())
}

/** Ids of the images that containers were made from: a push or a save gives an image another manifest. */
export async function idsOfRuns(store: Store): Promise<ReadonlySet<Digest>> {
  const manifests = [...new Set(await linesOfRuns(store))].filter(isDigest)
  const stored = await Promise.all(manifests.map((digest) => loadManifest(store, { familiar: digest }, digest).catch(() => undefined)))
  return new Set(stored.flatMap((one) => one?.manifest.config.digest ?? []))
}

/** Of dead pulls, too: whoever wants to be exact takes those away first. */
async function leasedLines(store: Store): Promise<string[]> {
  const leases = await readdir(join(store.home, 'leases'))
  return [...await linesOf(leases.map((name) => join(store.home, 'leases', name))), ...await linesOfRuns(store)]
}

async function linesOf(files: readonly string[]): Promise<string[]> {
  const texts = await Promise.all(files.map((file) => readFile(file, 'utf8').catch(absent(''))))
  // A line that is not whole is being written, and its writer will wait for this sweep.
  return texts.flatMap((text) => text.split('\n').slice(0, -1))
}

async function follow(
  store: Store, digest: Digest, found: { readonly blobs: Set<string>, readonly layers: Set<string> }, depth: number,
): Promise<void> {
  const known = found.blobs.has(hexOf(digest)) && depth === 0
  found.blobs.add(hexOf(digest))
  found.layers.add(hexOf(digest))
  if (known) return
  const size = (await stat(blobPath(store, digest)).catch(absent(undefined)))?.size ?? Number.POSITIVE_INFINITY
  const bytes = size > DOCUMENT_LIMIT ? undefined : await readBlob(store, digest)
  if (bytes?.[0] !== 0x7b) return
  try {
    const manifest = parseManifest(bytes, basename(digest))
    if (manifest.kind === 'index') {
      if (depth < 3) for (const one of manifest.manifests) await follow(store, one.digest, found, depth + 1)
      return
    }
    for (const one of [manifest.config, ...manifest.layers]) found.blobs.add(hexOf(one.digest))
    const config = await readBlob(store, manifest.config.digest)
    if (config === undefined) return
    const { diffIds } = parseConfig(config, manifest.layers.length, basename(digest))
    for (const one of [...diffIds, ...chainIds(diffIds)]) found.layers.add(hexOf(one))
  } catch (error) {
    // A configuration, or a document of a kind that leads nowhere.
    if (!isMayflyError(error)) throw error
  }
}

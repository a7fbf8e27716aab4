import { randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { lstat, mkdir, readdir, readlink } from 'node:fs/promises'
import { join } from 'node:path'

import { isMayflyError } from '../errors.js'
import { unpackLayer, type UntarReport } from '../layers/index.js'
import type { WantedLayer } from './layer.js'
import { blobPath, discardTree, hashFile, type Store } from './store.js'

/** How an unpacked layer differs from its blob, unpacked once more; `undefined` when it does not, or there is no blob. */
export async function compareLayer(store: Store, { blob, diffId }: WantedLayer, tree: string): Promise<string | undefined> {
  const ingest = join(store.home, 'ingest', `verify-${randomBytes(6).toString('hex')}`)
  const fresh = join(ingest, 'tree')
  await mkdir(fresh, { recursive: true, mode: 0o755 })
  try {
    const source = createReadStream(blobPath(store, blob.digest), { highWaterMark: 256 * 1024 }) as AsyncIterable<Buffer>
    const report = await unpackLayer({ source, directory: fresh, digest: blob.digest, size: blob.size, diffId })
    return await difference(fresh, tree, '', marks(report))
  } catch (error) {
    // Without its blob, or with a damaged one, a layer cannot be judged.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    if (isMayflyError(error) && error.code === 'ERR_MAYFLY_DIGEST_MISMATCH') return undefined
    throw error
  } finally {
    await discardTree(store, ingest)
  }
}

/** What lower layers decided when the layer was completed. */
interface Marks {
  readonly implicit: ReadonlySet<string>
  readonly below: ReadonlySet<string>
}

function marks({ implicit, linksBelow }: UntarReport): Marks {
  return { implicit: new Set(['', ...implicit]), below: new Set(linksBelow.map(({ path }) => path)) }
}

async function difference(fresh: string, kept: string, path: string, known: Marks): Promise<string | undefined> {
  const [wanted, actual] = await Promise.all([fresh, kept].map((root) => readdir(join(root, path)).catch(unreadable)))
  const there = new Set(actual)
  for (const name of wanted ?? []) {
    const at = path === '' ? name : `${path}/${name}`
    if (!there.delete(name)) return `/${at} is missing`
    const why = await entryDifference(fresh, kept, at, known)
    if (why !== undefined) return `/${at} ${why}`
    if (!(await lstat(join(fresh, at))).isDirectory()) continue
    const deeper = await difference(fresh, kept, at, known)
    if (deeper !== undefined) return deeper
  }
  for (const name of there) if (!known.below.has(path === '' ? name : `${path}/${name}`)) return `/${path === '' ? name : `${path}/${name}`} does not belong there`
  return undefined
}

async function entryDifference(fresh: string, kept: string, at: string, known: Marks): Promise<string | undefined> {
  const [a, b] = [await lstat(join(fresh, at)), await lstat(join(kept, at))]
  if ((a.mode & 0o170000) !== (b.mode & 0o170000) || a.rdev !== b.rdev) return 'is of another kind'
  if (known.implicit.has(at)) return undefined
  if (a.mode !== b.mode) return `has the mode ${(b.mode & 0o7777).toString(8)} instead of ${(a.mode & 0o7777).toString(8)}`
  if (a.uid !== b.uid || a.gid !== b.gid) return 'has another owner'
  if (a.isSymbolicLink()) return await readlink(join(fresh, at)) === await readlink(join(kept, at)) ? undefined : 'points elsewhere'
  if (!a.isFile()) return undefined
  if (a.size !== b.size) return 'has another size'
  if (Math.trunc(a.mtimeMs / 1000) !== Math.trunc(b.mtimeMs / 1000)) return 'has another time'
  const [wanted, actual] = await Promise.all([hashFile(join(fresh, at)).catch(unreadable), hashFile(join(kept, at)).catch(unreadable)])
  return typeof wanted === 'string' && typeof actual === 'string' && wanted !== actual ? 'has another content' : undefined
}

/** What an ordinary user may not look into is its containers' users'. */
function unreadable(error: NodeJS.ErrnoException): [] {
  if (error.code === 'EACCES') return []
  throw error
}

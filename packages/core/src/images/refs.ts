import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'

import { hexOf, isDigest, type Digest } from '../digest.js'
import { parseReference, type Reference } from '../reference.js'
import { writeAtomically, type Store } from './store.js'

/** What a name stood for when it was last pulled. */
export interface RefRecord {
  /** Digest of the manifest or index the name pointed at. */
  readonly digest: Digest
  /** The platform's image manifest, by platform text. */
  readonly manifests: Readonly<Record<string, Digest>>
  readonly origin: string
  /** Milliseconds since 1970. */
  readonly pulledAt: number
}

export async function readRef(store: Store, reference: Reference): Promise<RefRecord | undefined> {
  return readRecord(refPath(store, reference))
}

export async function writeRef(store: Store, reference: Reference, record: RefRecord): Promise<void> {
  await writeAtomically(refPath(store, reference), `${JSON.stringify(record)}\n`)
}

/** Where and when a name was last pulled. */
export async function pulledFrom(store: Store, reference: Reference): Promise<Pick<RefRecord, 'origin' | 'pulledAt'>> {
  const { origin, pulledAt } = await readRef(store, reference) ?? { origin: '', pulledAt: 0 }
  return { origin, pulledAt }
}

/** Changes whenever the name is pulled again; `undefined` when it never was. */
export async function refStamp(store: Store, reference: Reference): Promise<string | undefined> {
  const found = await stat(refPath(store, reference), { bigint: true }).catch(() => undefined)
  return found === undefined ? undefined : `${found.ino} ${found.mtimeNs}`
}

/** All names the store knows. */
export async function listRefs(store: Store): Promise<{ reference: Reference, record: RefRecord }[]> {
  const root = join(store.home, 'refs')
  const files = await readdir(root, { recursive: true, withFileTypes: true }).catch(() => [])
  const found: { reference: Reference, record: RefRecord }[] = []
  for (const entry of files) {
    const name = /^(.+)\/_(tags|digests)$/.exec(entry.parentPath.slice(root.length + 1))
    if (!entry.isFile() || name === null || entry.name.endsWith('.tmp')) continue
    const record = await readRecord(join(entry.parentPath, entry.name))
    const separator = name[2] === 'tags' ? ':' : '@sha256:'
    if (record !== undefined) found.push({ reference: parseReference(`${name[1]}${separator}${entry.name}`), record })
  }
  return found
}

/** A repository's parts never start with "_", so tags cannot be taken for deeper repositories. */
function refPath(store: Store, { registry, repository, tag, digest }: Reference): string {
  const leaf = digest === undefined ? ['_tags', tag ?? 'latest'] : ['_digests', hexOf(digest)]
  return join(store.home, 'refs', registry, repository, ...leaf)
}

async function readRecord(file: string): Promise<RefRecord | undefined> {
  try {
    const json = JSON.parse(await readFile(file, 'utf8')) as Partial<RefRecord>
    const { digest, manifests = {}, origin = '', pulledAt = 0 } = json
    return isDigest(digest) && Object.values(manifests).every(isDigest) ? { digest, manifests, origin, pulledAt } : undefined
  } catch {
    return undefined
  }
}

import { readdir, readFile, rm, rmdir, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

import { hexOf, isDigest, type Digest } from '../digest.js'
import { parseReference, type Reference } from '../reference.js'
import { absent, writeAtomically, type Store } from './store.js'

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

/** Forgets a name; harmless when it is not there. What it stood for stays until it is collected. */
export async function removeRef(store: Store, reference: Reference): Promise<void> {
  const root = join(store.home, 'refs')
  const file = refPath(store, reference)
  await rm(file, { force: true })
  // Up to the first directory that has other names.
  for (let at = dirname(file); at !== root; at = dirname(at)) {
    if (await rmdir(at).then(() => true, () => false) === false) return
  }
}

/** Under which an image is kept that has no name: of a reserved host (RFC 2606), so that nothing can be pulled from there. */
const NOBODY = 'unnamed.invalid'

export function unnamed(digest: Digest): Reference {
  return parseReference(`${NOBODY}/image@${digest}`)
}

export function isUnnamed({ registry }: Reference): boolean {
  return registry === NOBODY
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
  return (await listRefFiles(store)).flatMap(({ reference, record }) => reference === undefined || record === undefined ? [] : [{ reference, record }])
}

/** All files of names, those that cannot be read too. */
export async function listRefFiles(store: Store): Promise<{ file: string, reference: Reference | undefined, record: RefRecord | undefined }[]> {
  const root = join(store.home, 'refs')
  const files = (await filesUnder(root)).filter((file) => !file.endsWith('.tmp'))
  return Promise.all(files.map(async (file) => (
    { file, reference: referenceOf(dirname(file).slice(root.length + 1), basename(file)), record: await readRecord(file) }
  )))
}

/** Not Node's own recursion, which fails when a directory goes away meanwhile. */
export async function filesUnder(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(absent([]))
  const found = await Promise.all(entries.map((entry) => {
    const path = join(directory, entry.name)
    return entry.isDirectory() ? filesUnder(path) : [path]
  }))
  return found.flat()
}

function referenceOf(directory: string, leaf: string): Reference | undefined {
  const [, name, kind] = /^(.+)\/_(tags|digests)$/.exec(directory) ?? []
  try {
    return name === undefined ? undefined : parseReference(`${name}${kind === 'tags' ? ':' : '@sha256:'}${leaf}`)
  } catch {
    return undefined
  }
}

/** A repository's parts never start with "_", so tags cannot be taken for deeper repositories. */
function refPath(store: Store, { registry, repository, tag, digest }: Reference): string {
  const leaf = digest === undefined ? ['_tags', tag ?? 'latest'] : ['_digests', hexOf(digest)]
  return join(store.home, 'refs', registry, repository, ...leaf)
}

async function readRecord(file: string): Promise<RefRecord | undefined> {
  const text = await readFile(file, 'utf8').catch(absent(''))
  try {
    const { digest, manifests = {}, origin = '', pulledAt = 0 } = JSON.parse(text) as Partial<RefRecord>
    return isDigest(digest) && Object.values(manifests).every(isDigest) ? { digest, manifests, origin, pulledAt } : undefined
  } catch {
    return undefined
  }
}

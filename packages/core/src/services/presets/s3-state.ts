import { askS3, elementsIn, escaped, valueIn, type S3Access, type S3Request } from './s3-client.js'
import type { Environment, Server, StateKeeping } from './types.js'

/** A bucket of ours, in which copies of all objects stand. */
const KEPT = 'mayfly-kept'
/** No bucket is called so. */
const INDEX = `/${KEPT}/.index`

/** By bucket and key: what tells whether an object is still the same. */
type Index = Readonly<Record<string, Record<string, string>>>

interface Version {
  readonly key: string
  readonly id: string
  /** Tag and time; empty for a mark that the object was deleted. */
  readonly tag: string
  readonly latest: boolean
}

/**
 * Buckets and objects, with their types and metadata: the store copies each beside the others, and back. Those that are as they
 * were stay. Policies and settings of buckets stay as they are.
 */
export function s3State(port: number, access: (env: Environment) => S3Access): StateKeeping {
  const storeOf = ({ container, env }: Server): Store => request => askS3(container.urlOf(port), access(env), request)
  return {
    beginsEmpty: true,
    keep: async server => {
      const store = storeOf(server)
      const buckets = await bucketsOf(store)
      const index: Record<string, Record<string, string>> = {}
      await store({ method: 'PUT', path: `/${KEPT}` })
      for (const bucket of buckets) {
        const objects = (await versionsOf(store, bucket)).filter(({ latest, tag }) => latest && tag !== '')
        for (const { key } of objects) await copy(store, `/${bucket}/${key}`, `/${KEPT}/${bucket}/${key}`)
        index[bucket] = Object.fromEntries(objects.map(({ key, tag }) => [key, tag]))
      }
      await store({ method: 'PUT', path: INDEX, body: JSON.stringify(index) })
    },
    restore: async server => {
      const store = storeOf(server)
      const buckets = await bucketsOf(store)
      const index = buckets.includes(KEPT) ? JSON.parse(await store({ method: 'GET', path: INDEX })) as Index : {}
      for (const bucket of buckets.filter(name => name !== KEPT)) await clear(store, bucket, index[bucket])
      let copied = false
      for (const [bucket, objects] of Object.entries(index)) {
        if (!buckets.includes(bucket)) await store({ method: 'PUT', path: `/${bucket}` })
        const there = new Set((await versionsOf(store, bucket)).filter(({ latest }) => latest).map(({ key }) => key))
        for (const key of Object.keys(objects).filter(name => !there.has(name))) {
          objects[key] = await copy(store, `/${KEPT}/${bucket}/${key}`, `/${bucket}/${key}`)
          copied = true
        }
      }
      if (copied) await store({ method: 'PUT', path: INDEX, body: JSON.stringify(index) })
    },
  }
}

type Store = (request: S3Request) => Promise<string>

async function bucketsOf(store: Store): Promise<readonly string[]> {
  return elementsIn(await store({ method: 'GET', path: '/' }), 'Bucket').map(bucket => valueIn(bucket, 'Name'))
}

/** All versions of all objects; a bucket without versions has one of each. [ListObjectVersions] */
async function versionsOf(store: Store, bucket: string): Promise<readonly Version[]> {
  const versions: Version[] = []
  for (let from: Readonly<Record<string, string>> = {}; ;) {
    const page = await store({ method: 'GET', path: `/${bucket}`, query: { versions: '', ...from } })
    for (const kind of ['Version', 'DeleteMarker']) {
      versions.push(...elementsIn(page, kind).map(one => ({
        key: valueIn(one, 'Key'), id: valueIn(one, 'VersionId'), latest: valueIn(one, 'IsLatest') === 'true', tag: kind === 'Version' ? tagOf(one) : '',
      })))
    }
    if (valueIn(page, 'IsTruncated') !== 'true') return versions
    from = { 'key-marker': valueIn(page, 'NextKeyMarker'), 'version-id-marker': valueIn(page, 'NextVersionIdMarker') }
  }
}

/** Deletes what is not as it was kept, and the bucket itself if it was not there. */
async function clear(store: Store, bucket: string, kept: Readonly<Record<string, string>> | undefined): Promise<void> {
  for (const { key, id, tag } of await versionsOf(store, bucket)) {
    if (tag !== '' && kept?.[key] === tag) continue
    await store({ method: 'DELETE', path: `/${bucket}/${key}`, query: id === '' ? {} : { versionId: id } })
  }
  if (kept === undefined) await store({ method: 'DELETE', path: `/${bucket}` })
}

async function copy(store: Store, from: string, to: string): Promise<string> {
  return tagOf(await store({ method: 'PUT', path: to, headers: { 'x-amz-copy-source': escaped(from) } }))
}

function tagOf(xml: string): string {
  return `${valueIn(xml, 'ETag')} ${valueIn(xml, 'LastModified')}`
}

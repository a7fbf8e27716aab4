import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { imageFile, listCatalog, loadImages, openStore, pullImage, saveImages, verifyStore, type Store } from '../../../src/images/index.js'
import { parseReference } from '../../../src/reference.js'
import { fakeRegistry, sha256, tar, temporaryHome, type Entry } from '../fixture.js'

let home: Awaited<ReturnType<typeof temporaryHome>>
let outside: string
let store: Store

beforeEach(async () => {
  home = await temporaryHome()
  outside = await mkdtemp(join(tmpdir(), 'mayfly-store-outside-'))
  await writeFile(join(outside, 'secret'), 'untouched')
  store = await openStore(home.path)
})

afterEach(async () => {
  expect((await verifyStore(store)).problems).toEqual([])
  for (const name of ['ingest', 'trash', 'leases'] as const) expect(await readdir(join(home.path, name))).toEqual([])
  expect(await readdir(outside)).toEqual(['secret'])
  expect(await readFile(join(outside, 'secret'), 'utf8')).toBe('untouched')
  await home.remove()
  await rm(outside, { recursive: true })
})

const layer = tar([{ name: 'hello', content: 'hello' }])
const other = tar([{ name: 'other', content: 'other' }])
const hex = (bytes: Buffer | string): string => sha256(bytes).slice(7)

function configOf(layers: readonly Buffer[], more: object = {}): string {
  return JSON.stringify({ os: 'linux', architecture: 'amd64', config: { Cmd: ['/hello'] }, rootfs: { type: 'layers', diff_ids: layers.map(sha256) }, ...more })
}

/** What `docker save` wrote until Docker 25. */
function oldArchive(layers: readonly Buffer[], { config = configOf(layers), tags = ['app:1'] }: { config?: string, tags?: readonly string[] | null } = {}): Entry[] {
  const ids = layers.map((_, index) => createHash('sha256').update(`layer ${index}`).digest('hex'))
  return [
    ...layers.flatMap((content, index) => [
      { name: `${ids[index]}/`, type: '5' as const }, { name: `${ids[index]}/VERSION`, content: '1.0' }, { name: `${ids[index]}/layer.tar`, content },
    ]),
    { name: `${hex(config)}.json`, content: config },
    { name: 'manifest.json', content: JSON.stringify([{ Config: `${hex(config)}.json`, RepoTags: tags, Layers: ids.map((id) => `${id}/layer.tar`) }]) },
  ]
}

/** An OCI layout's files. */
function ociFiles(layers: readonly Buffer[], { config = configOf(layers), name = 'docker.io/library/app:1', index = {} as object } = {}): Record<string, Buffer> {
  const blobs = layers.map((content) => gzipSync(content))
  const descriptor = (mediaType: string, bytes: Buffer | string): object => ({ mediaType, digest: sha256(bytes), size: Buffer.byteLength(bytes) })
  const manifest = JSON.stringify({
    schemaVersion: 2, config: descriptor('application/vnd.oci.image.config.v1+json', config), layers: blobs.map((blob) => descriptor('application/vnd.oci.image.layer.v1.tar+gzip', blob)),
  })
  return {
    'oci-layout': Buffer.from('{"imageLayoutVersion":"1.0.0"}'),
    'index.json': Buffer.from(JSON.stringify({
      schemaVersion: 2, manifests: [{ ...descriptor('application/vnd.oci.image.manifest.v1+json', manifest), annotations: { 'org.opencontainers.image.ref.name': name } }], ...index,
    })),
    ...Object.fromEntries([...blobs, Buffer.from(manifest), Buffer.from(config)].map((bytes) => [`blobs/sha256/${hex(bytes)}`, bytes])),
  }
}

function packed(files: Record<string, Buffer>): Entry[] {
  return Object.entries(files).map(([name, content]) => ({ name, content }))
}

function stream(archive: readonly Entry[] | Buffer): AsyncIterable<Buffer> {
  const bytes = Buffer.isBuffer(archive) ? archive : tar(archive)
  // In pieces that fit nothing.
  return Readable.from((function* () { for (let at = 0; at < bytes.length; at += 7001) yield bytes.subarray(at, at + 7001) })())
}

async function loaded(archive: readonly Entry[] | Buffer | string): Promise<string[]> {
  const images = await loadImages(store, typeof archive === 'string' ? archive : stream(archive))
  return images.flatMap(({ id, names }) => names.length > 0 ? names.map(String) : [id])
}

async function hello(name: string): Promise<string | undefined> {
  return (await imageFile(await pullImage(store, parseReference(name), { policy: 'never' }), 'hello'))?.toString()
}

describe('load reads', () => {
  test('Docker\'s old archives, also with layers that are links to others\'', async () => {
    const archive = oldArchive([layer, other], { tags: ['app:1', 'example.org/x/app:latest'] })
    expect(await loaded(archive)).toEqual(['docker.io/library/app:1', 'example.org/x/app:latest'])
    expect(await hello('app:1')).toBe('hello')
    const linked = oldArchive([layer, layer], { tags: ['twice:1'] })
    const [first, second] = linked.filter(({ name }) => name.endsWith('/layer.tar'))
    const links = linked.map((entry) => entry === second ? { name: entry.name, type: '2' as const, target: `../${first?.name}` } : entry)
    expect(await loaded(links)).toEqual(['docker.io/library/twice:1'])
    expect(await hello('twice:1')).toBe('hello')
  })
  test('images without a name, and compressed archives', async () => {
    const config = configOf([layer])
    expect(await loaded(gzipSync(tar(oldArchive([layer], { tags: null }))))).toEqual([sha256(config)])
    expect((await listCatalog(store)).map(({ id }) => id)).toEqual([sha256(config)])
  })
  test('OCI archives and layouts, their digests unchanged', async () => {
    const files = ociFiles([layer, other])
    expect(await loaded(packed(files))).toEqual(['docker.io/library/app:1'])
    const directory = join(outside, '..', `layout-${hex(home.path).slice(0, 8)}`)
    try {
      await mkdir(join(directory, 'blobs/sha256'), { recursive: true })
      for (const [name, bytes] of Object.entries(ociFiles([layer], { name: 'example.org/app:2' }))) await writeFile(join(directory, name), bytes)
      expect(await loaded(directory)).toEqual(['example.org/app:2'])
      expect(await hello('example.org/app:2')).toBe('hello')
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  })
  test('what save wrote, byte for byte the same again', async () => {
    const registry = await fakeRegistry()
    const save = async (...names: string[]): Promise<Buffer> => {
      const chunks: Buffer[] = []
      const { Writable } = await import('node:stream')
      await saveImages(store, names, new Writable({ write: (chunk: Buffer, _, done) => { chunks.push(chunk); done() } }))
      return Buffer.concat(chunks)
    }
    const fresh = await temporaryHome()
    try {
      const names = ['one', 'two'].map((name) => `${registry.host}/${name}:1`)
      registry.add('one', '1', [layer, other])
      registry.add('two', '1', [layer])
      for (const name of names) await pullImage(store, parseReference(name))
      const archive = await save(...names)
      expect(await save(...names)).toEqual(archive)
      const second = await openStore(fresh.path)
      const images = await loadImages(second, stream(archive))
      expect(images.map(({ names: [name] }) => String(name))).toEqual(names)
      expect(images.map(({ digest }) => digest)).toEqual(await Promise.all(names.map(async (name) => (await pullImage(store, parseReference(name), { policy: 'never' })).digest)))
      expect((await verifyStore(second)).problems).toEqual([])
      await expect(save('nothing')).rejects.toMatchObject({ code: 'ERR_MAYFLY_IMAGE_NOT_FOUND' })
    } finally {
      await fresh.remove()
      await registry.close()
    }
  })
})

describe('load refuses, leaving nothing', () => {
  const config = configOf([layer])
  const escaping = (name: string, more: Partial<Entry> = {}): Entry[] => [{ name, content: 'x', ...more }, ...oldArchive([layer])]
  const files = ociFiles([layer])
  const blob = Object.keys(files).find((name) => files[name]?.[0] === 0x1f) ?? ''
  const manifest = (value: unknown): Entry[] => [...oldArchive([layer]).filter(({ name }) => name !== 'manifest.json'), { name: 'manifest.json', content: JSON.stringify(value) }]

  const index = (value: string): Entry[] => packed({ ...files, 'index.json': Buffer.from(value) })
  const cases: readonly (readonly [string, () => readonly Entry[] | Buffer, string])[] = [
    ['names that climb out', () => escaping('../../secret'), 'ARCHIVE_INVALID'],
    ['names that climb out in the middle', () => escaping('a/../../secret'), 'ARCHIVE_INVALID'],
    ['absolute names', () => escaping('/etc/passwd'), 'ARCHIVE_INVALID'],
    ['links that climb out', () => escaping('link', { type: '2', target: '../../secret' }), 'ARCHIVE_INVALID'],
    ['absolute links', () => escaping('link', { type: '2', target: '/etc/shadow' }), 'ARCHIVE_INVALID'],
    ['hard links that climb out', () => escaping('link', { type: '1', target: '../secret' }), 'ARCHIVE_INVALID'],
    ['a layer that is a link in a circle', () => manifest([{ Config: `${hex(config)}.json`, Layers: ['loop'] }]).concat({ name: 'loop', type: '2', target: 'loop' }), 'ARCHIVE_INVALID'],
    ['devices', () => escaping('null', { type: '3' as '0' }), 'ARCHIVE_INVALID'],
    ['a configuration outside of it', () => manifest([{ Config: '../../../etc/passwd', Layers: [] }]), 'ARCHIVE_INVALID'],
    ['layers outside of it', () => manifest([{ Config: `${hex(config)}.json`, Layers: ['/etc/passwd'] }]), 'ARCHIVE_INVALID'],
    ['the same file twice', () => [...oldArchive([layer]), ...oldArchive([layer]).slice(-1)], 'ARCHIVE_INVALID'],
    ['a configuration under another digest', () => oldArchive([layer]).map((entry) => entry.name.endsWith('.json') && entry.name !== 'manifest.json' ? { ...entry, content: configOf([layer], { x: 1 }) } : entry), 'DIGEST_MISMATCH'],
    ['a layer that is not its diffID', () => oldArchive([layer], { config: configOf([other]) }), 'DIGEST_MISMATCH'],
    ['fewer layers than the configuration has', () => oldArchive([layer], { config: configOf([layer, other]) }), 'MANIFEST_INVALID'],
    ['an OCI blob under another digest', () => packed({ ...files, [blob]: gzipSync(other) }), 'DIGEST_MISMATCH'],
    ['an OCI layer that is not its diffID', () => packed(ociFiles([layer], { config: configOf([other]) })), 'DIGEST_MISMATCH'],
    ['a digest that is a path (CVE-2024-3727)', () => index('{"manifests":[{"digest":"sha256:../../../../etc/passwd","size":1}]}'), 'DIGEST_INVALID'],
    ['a digest of another algorithm', () => index('{"manifests":[{"digest":"md5:d41d8cd98f00b204e9800998ecf8427e","size":1}]}'), 'DIGEST_INVALID'],
    ['indexes in indexes without end', () => {
      let inner = Object.values(files)[2] ?? Buffer.alloc(0)
      const nested: Record<string, Buffer> = {}
      for (let depth = 0; depth < 10; depth += 1) {
        const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [{ digest: sha256(inner), size: inner.length, platform: { os: 'linux', architecture: 'amd64' } }] }))
        nested[`blobs/sha256/${hex(bytes)}`] = bytes
        inner = bytes
      }
      return packed({ ...files, ...nested, 'index.json': Buffer.from(JSON.stringify({ manifests: [{ digest: sha256(inner), size: inner.length }] })) })
    }, 'ARCHIVE_INVALID'],
    ['both layers and manifests (CVE-2021-41190)', () => {
      const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [], config: { digest: sha256('x'), size: 1 }, layers: [] }))
      return packed({ ...files, [`blobs/sha256/${hex(bytes)}`]: bytes, 'index.json': Buffer.from(JSON.stringify({ manifests: [{ digest: sha256(bytes), size: bytes.length }] })) })
    }, 'MANIFEST_INVALID'],
    ['JSON that is none', () => manifest('x').map((entry) => entry.name === 'manifest.json' ? { ...entry, content: '[{' } : entry), 'MANIFEST_INVALID'],
    ['JSON nested a million deep', () => manifest(0).map((entry) => entry.name === 'manifest.json' ? { ...entry, content: `${'['.repeat(1e6)}${']'.repeat(1e6)}` } : entry), 'ARCHIVE_INVALID'],
    ['documents without measure', () => manifest(0).map((entry) => entry.name === 'manifest.json' ? { ...entry, content: ' '.repeat(9 * 2 ** 20) } : entry), 'ARCHIVE_INVALID'],
    ['ten thousand images', () => manifest(Array.from({ length: 10_000 }, () => ({ Config: 'x', Layers: [] }))), 'ARCHIVE_INVALID'],
    ['prototypes', () => manifest(JSON.parse('[{"__proto__":{"Config":"x"},"constructor":{"prototype":{"Config":"y"}}}]')), 'ARCHIVE_INVALID'],
    ['a name that is none', () => oldArchive([layer], { tags: ['../../etc:1'] }), 'REFERENCE_INVALID'],
    ['no tar', () => Buffer.from('not a tar at all '.repeat(200)), 'ARCHIVE_INVALID'],
    ['a tar that ends in the middle', () => tar(oldArchive([layer])).subarray(0, 3000), 'ARCHIVE_INVALID'],
    ['gzip that ends in the middle', () => gzipSync(tar(oldArchive([layer]))).subarray(0, 200), 'ARCHIVE_INVALID'],
    ['nothing', () => Buffer.alloc(0), 'ARCHIVE_INVALID'],
    ['an archive of something else', () => [{ name: 'README', content: 'hello' }], 'ARCHIVE_INVALID'],
  ]
  test.each(cases)('%s', async (_, archive, code) => {
    await expect(loadImages(store, stream(archive()))).rejects.toMatchObject({ code: `ERR_MAYFLY_${code}` })
    expect(await readdir(store.layers)).toEqual([])
    expect(await readdir(join(home.path, 'refs'))).toEqual([])
    expect(await readdir(join(home.path, 'blobs/sha256'))).toEqual([])
  })

  test('more files, or more bytes, than it may have', async () => {
    const many = Array.from({ length: 50 }, (_, index) => ({ name: `f${index}`, content: 'x' }))
    await expect(loadImages(store, stream(many), { files: 20 })).rejects.toMatchObject({ code: 'ERR_MAYFLY_ARCHIVE_INVALID', message: expect.stringContaining('more than 20 files') as string })
    const bomb = gzipSync(tar([{ name: 'zeros', content: '\0'.repeat(8 * 2 ** 20) }]))
    expect(bomb.length).toBeLessThan(20_000)
    await expect(loadImages(store, stream(bomb), { bytes: 2 ** 20 })).rejects.toMatchObject({ code: 'ERR_MAYFLY_ARCHIVE_INVALID', message: expect.stringContaining('larger than') as string })
    expect(await readdir(join(home.path, 'blobs/sha256'))).toEqual([])
  })

  test('a load that was aborted', async () => {
    const stop = new AbortController()
    const source = async function* (): AsyncGenerator<Buffer> {
      yield tar(oldArchive([layer])).subarray(0, 1024)
      stop.abort()
      yield Buffer.alloc(512)
    }
    await expect(loadImages(store, source(), { signal: stop.signal })).rejects.toMatchObject({ code: 'ERR_MAYFLY_ABORTED' })
  })
})

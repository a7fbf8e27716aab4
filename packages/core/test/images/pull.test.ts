import { readFile, readdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { imageFile, listCatalog, listImages, openStore, pullImage, storeUsage, verifyStore, type Store } from '../../src/images/index.js'
import { tryLockFile } from '../../src/layers/index.js'
import { parsePlatform } from '../../src/platform.js'
import { parseReference, type Reference } from '../../src/reference.js'
import { fakeRegistry, sha256, tar, temporaryHome, type FakeRegistry } from './fixture.js'

let registry: FakeRegistry
let home: Awaited<ReturnType<typeof temporaryHome>>
let store: Store

beforeEach(async () => {
  registry = await fakeRegistry()
  home = await temporaryHome()
  store = await openStore(home.path)
})

afterEach(async () => {
  delete process.env['MAYFLY_REGISTRY_MIRROR']
  await registry.close()
  await home.remove()
})

const base = tar([
  { name: 'etc/', type: '5', mode: 0o750 },
  { name: 'etc/passwd', content: 'root:x:0:0::/:/bin/sh\n' },
])
const upper = tar([{ name: 'srv/', type: '5', mode: 0o755 }, { name: 'srv/hello', content: 'hello' }])

function here(name: string): Reference {
  return parseReference(`${registry.host}/${name}`)
}

async function left(): Promise<Record<string, string[]>> {
  const places = { layers: store.layers, ...Object.fromEntries(['ingest', 'trash', 'refs'].map((name) => [name, join(home.path, name)])) }
  return Object.fromEntries(await Promise.all(Object.entries(places).map(async ([name, place]) => [name, await readdir(place)] as const)))
}

test('a pull unpacks the layers and reads the config', async () => {
  registry.add('app', 'latest', [base, upper], { config: { Env: ['A=b'], Cmd: ['/bin/app'], ExposedPorts: { '80/tcp': {} } } })
  const image = await pullImage(store, here('app'))
  expect(image.config).toMatchObject({ Env: ['A=b'], Cmd: ['/bin/app'], ExposedPorts: ['80/tcp'], User: '' })
  expect(image.layers).toHaveLength(2)
  expect(await readFile(join(image.layers[0] ?? '', 'srv/hello'), 'utf8')).toBe('hello')
  expect((await imageFile(image, '/etc/passwd'))?.toString()).toContain('root:x:0:0')
  expect(await imageFile(image, '/etc/../../../../etc/hostname')).toBeUndefined()
  expect((await stat(home.path)).mode & 0o777).toBe(0o700)
  expect((await listImages(store)).map(({ reference }) => reference.toString())).toEqual([`${registry.host}/app:latest`])
})

test('a second pull asks the registry nothing, and "always" only what the name means now', async () => {
  registry.add('app', 'latest', [base, upper])
  const first = await pullImage(store, here('app'))
  registry.seen.length = 0
  expect(await pullImage(store, here('app'))).toEqual(first)
  expect(registry.seen).toEqual([])
  await pullImage(store, here('app'), { policy: 'always' })
  expect(registry.seen).toEqual(['HEAD /v2/app/manifests/latest'])
  registry.add('app', 'latest', [base])
  expect((await pullImage(store, here('app'), { policy: 'always' })).layers).toHaveLength(1)
})

test('pulls at once fetch every blob once', async () => {
  registry.add('app', 'latest', [base, upper])
  registry.add('other', 'latest', [base, tar([{ name: 'other', content: 'x' }])])
  await Promise.all(['app', 'app', 'other', 'other', 'app'].map((name) => pullImage(store, here(name))))
  const blobs = registry.seen.filter((line) => line.includes('/blobs/')).map((line) => line.replace(/.*\//, ''))
  expect(new Set(blobs).size).toBe(blobs.length)
})

test.each([
  ['that stands alone', tar([{ name: 'shared/', type: '5', mode: 0o755 }, { name: 'shared/file', content: 'shared' }])],
  ['that leans on those', tar([{ name: 'etc/shared', content: 'shared' }, { name: 'alias', type: '1', target: 'etc/passwd' }])],
])('a layer %s is fetched once, however different the ones below it are', async (_, shared) => {
  const others = ['a', 'b', 'c'].map((name) => tar([{ name: 'etc/', type: '5', mode: 0o711 }, { name: 'etc/passwd', content: name }]))
  const names = others.map((other, at) => {
    registry.add(`app${String(at)}`, 'latest', [other, shared])
    return `app${String(at)}`
  })
  const last = [...registry.blobs.keys()].find((digest) => names.every((name) => registry.manifests.get(`${name}/manifests/latest`)?.includes(digest) === true)) ?? ''
  // It comes when the layers below it are there, which is when everybody has asked who will.
  registry.intercept = (request, response) => {
    if (!(request.url ?? '').endsWith(last)) return false
    void expect.poll(async () => (await readdir(store.layers)).length).toBeGreaterThanOrEqual(others.length).then(() => response.end(registry.blobs.get(last)))
    return true
  }
  const images = await Promise.all(names.map((name) => pullImage(store, here(name))))
  expect(registry.seen.filter((line) => line.endsWith(last))).toHaveLength(1)
  expect(await Promise.all(images.map(async (image) => (await imageFile(image, 'etc/passwd'))?.toString()))).toEqual(['a', 'b', 'c'])
  expect((await verifyStore(store)).problems).toEqual([])
})

test('who reads waits neither for a pull of the same name nor for a collector', async () => {
  registry.add('app', 'latest', [base])
  const first = await pullImage(store, here('app'))
  registry.add('app', 'latest', [base, upper])
  let open: () => void = () => undefined
  const gate = new Promise<void>((resolve) => { open = resolve })
  const asked = new Promise<void>((resolve) => {
    registry.intercept = (request, response) => {
      const bytes = registry.blobs.get((request.url ?? '').replace(/.*\//, ''))
      if (bytes?.[0] !== 0x1f) return false
      resolve()
      void gate.then(() => response.end(bytes))
      return true
    }
  })
  const pulling = pullImage(store, here('app'), { policy: 'always' })
  await asked
  const held = await Promise.all([...await readdir(join(home.path, 'locks')), '../sweep.lock'].map((name) => tryLockFile(join(home.path, 'locks', name))))
  expect(held.filter((lock) => lock === undefined).length).toBeGreaterThan(1)
  await writeFile(join(home.path, 'sweeping'), '')
  const reader = await openStore(home.path)
  expect(await pullImage(reader, here('app'))).toEqual(first)
  expect((await imageFile(first, 'etc/passwd'))?.toString()).toContain('root')
  expect(await listCatalog(reader)).toMatchObject([{ digest: first.digest }])
  expect((await storeUsage(reader)).images).toHaveLength(1)
  expect((await verifyStore(reader)).problems).toEqual([])
  for (const lock of held) await lock?.release()
  open()
  expect((await pulling).layers).toHaveLength(2)
})

test('docker.io names are asked of the mirror first', async () => {
  registry.add('library/app', '1.2', [base])
  process.env['MAYFLY_REGISTRY_MIRROR'] = registry.origin
  const image = await pullImage(store, parseReference('app:1.2'))
  expect(image.reference.toString()).toBe('docker.io/library/app:1.2')
})

test('what a mirror lacks, or always breaks off, comes from the next one', async () => {
  const second = await fakeRegistry()
  try {
    process.env['MAYFLY_REGISTRY_MIRROR'] = `http://127.0.0.1:1,${registry.origin},${second.origin},off`
    const layers = [base, upper]
    const only = second.add('library/only', 'latest', layers)
    expect((await pullImage(store, parseReference('only'))).digest).toBe(only)
    // The manifest is the first one's, the layers are not.
    registry.add('library/parts', 'latest', [tar([{ name: 'parts', content: 'x'.repeat(100) }])])
    second.add('library/parts', 'latest', [tar([{ name: 'parts', content: 'x'.repeat(100) }])])
    let breaks = 0
    registry.intercept = (request, response) => {
      const bytes = registry.blobs.get((request.url ?? '').replace(/.*\//, ''))
      if (bytes?.[0] !== 0x1f) return false
      breaks += 1
      response.writeHead(200, { 'content-length': bytes.length })
      response.write(bytes.subarray(0, 10), () => response.destroy())
      return true
    }
    second.seen.length = 0
    const image = await pullImage(store, parseReference('parts'))
    expect((await imageFile(image, 'parts'))?.toString()).toBe('x'.repeat(100))
    expect(breaks).toBe(2)
    expect(second.seen).toEqual([expect.stringContaining('/blobs/')])
  } finally {
    await second.close()
  }
})

test('an image that is nowhere names every place asked, and "off" asks nobody else', async () => {
  const second = await fakeRegistry()
  try {
    process.env['MAYFLY_REGISTRY_MIRROR'] = `${registry.origin},${second.origin},off`
    const [a, b] = [registry.host, second.host]
    await expect(pullImage(store, parseReference('nope'))).rejects.toMatchObject({
      code: 'ERR_MAYFLY_IMAGE_NOT_FOUND',
      message: `Cannot pull nope: ${a} has no image library/nope; ${b} has no image library/nope`,
      details: { asked: [{ registry: a, code: 'ERR_MAYFLY_IMAGE_NOT_FOUND' }, { registry: b, code: 'ERR_MAYFLY_IMAGE_NOT_FOUND' }] },
    })
    await second.close()
    await expect(pullImage(store, parseReference('nope'))).rejects.toMatchObject({
      code: 'ERR_MAYFLY_REGISTRY_UNAVAILABLE',
      message: `Cannot pull nope: ${a} has no image library/nope; Cannot reach the registry at ${second.origin}: nobody listens there (ECONNREFUSED)`,
    })
  } finally {
    await second.close()
  }
})

test('a missing tag is answered with those there are', async () => {
  registry.intercept = (request, response) => {
    if (request.url !== '/v2/app/tags/list?n=1000') return false
    response.end(JSON.stringify({ name: 'app', tags: ['latest', '17', '17.2', '16'] }))
    return true
  }
  await expect(pullImage(store, here('app:17.9'))).rejects.toMatchObject({
    code: 'ERR_MAYFLY_IMAGE_NOT_FOUND',
    message: `${registry.host} has no image app with tag "17.9"`,
    hint: 'It has the tags "17.2", "17", "16", "latest".',
  })
})

test('a layer with other bytes than announced fails and leaves nothing', async () => {
  registry.add('app', 'latest', [base, upper])
  const [, blob] = [...registry.blobs].filter(([, bytes]) => bytes[0] === 0x1f)
  if (blob === undefined) throw new Error('no layer')
  const poisoned = Buffer.from(blob[1])
  poisoned[9] = (poisoned[9] ?? 0) ^ 1
  registry.blobs.set(blob[0], poisoned)
  await expect(pullImage(store, here('app'))).rejects.toMatchObject({ code: 'ERR_MAYFLY_DIGEST_MISMATCH' })
  const after = await left()
  expect(after).toMatchObject({ ingest: [], trash: [], refs: [] })
  expect(after['layers']).not.toContain(sha256(upper).slice(7))
})

test('a layer whose plain digest is not its diffID does not poison the store', async () => {
  registry.add('evil', 'latest', [upper], { diffIds: [sha256(base)] })
  registry.add('good', 'latest', [base])
  await expect(pullImage(store, here('evil'))).rejects.toMatchObject({ code: 'ERR_MAYFLY_DIGEST_MISMATCH' })
  expect(await left()).toEqual({ layers: [], ingest: [], trash: [], refs: [] })
  const image = await pullImage(store, here('good'))
  expect((await imageFile(image, '/etc/passwd'))?.toString()).toContain('root')
})

test('a truncated layer and one that is no gzip fail and leave nothing', async () => {
  registry.add('app', 'latest', [base])
  const [digest, bytes] = [...registry.blobs].find(([, content]) => content[0] === 0x1f) ?? ['', Buffer.alloc(0)]
  registry.blobs.set(digest, bytes.subarray(0, bytes.length - 5))
  await expect(pullImage(store, here('app'))).rejects.toMatchObject({ code: 'ERR_MAYFLY_DIGEST_MISMATCH' })
  registry.blobs.set(digest, Buffer.concat([bytes.subarray(0, 20), Buffer.alloc(bytes.length - 20)]))
  await expect(pullImage(store, here('app'))).rejects.toMatchObject({ code: expect.stringMatching(/LAYER_INVALID|DIGEST_MISMATCH/) as string })
  expect(await left()).toEqual({ layers: [], ingest: [], trash: [], refs: [] })
})

test('a manifest with layers and manifests at once is refused', async () => {
  const digest = sha256('x')
  registry.manifests.set('app/manifests/latest', Buffer.from(JSON.stringify({
    schemaVersion: 2, manifests: [], config: { digest, size: 1 }, layers: [],
  })))
  await expect(pullImage(store, here('app'))).rejects.toMatchObject({ code: 'ERR_MAYFLY_MANIFEST_INVALID' })
})

test('a pinned digest is verified', async () => {
  const digest = registry.add('app', 'latest', [base])
  const pinned = here(`app:whatever@${digest}`)
  expect((await pullImage(store, pinned)).digest).toBe(digest)
  // What the tag means is nobody's question.
  expect(registry.seen.filter((line) => line.includes('/manifests/'))).toEqual([`GET /v2/app/manifests/${digest}`])
  const other = sha256('other')
  registry.manifests.set(`app/manifests/${other}`, Buffer.from('{}'))
  await expect(pullImage(store, here(`app@${other}`))).rejects.toMatchObject({ code: 'ERR_MAYFLY_DIGEST_MISMATCH' })
})

test('an unknown image and a dead registry are told apart', async () => {
  await expect(pullImage(store, here('nothing:9'))).rejects.toMatchObject({
    code: 'ERR_MAYFLY_IMAGE_NOT_FOUND',
    message: `${registry.host} has no image nothing`,
  })
  await expect(pullImage(store, parseReference('127.0.0.1:1/app'))).rejects.toMatchObject({ code: 'ERR_MAYFLY_REGISTRY_UNAVAILABLE' })
  await expect(pullImage(store, here('app'), { policy: 'never' })).rejects.toMatchObject({ code: 'ERR_MAYFLY_IMAGE_NOT_FOUND' })
})

test('an aborted pull stops and leaves nothing', async () => {
  registry.add('app', 'latest', [base])
  const abort = new AbortController()
  registry.intercept = (request, response) => {
    const bytes = registry.blobs.get((request.url ?? '').replace(/.*\//, ''))
    if (bytes?.[0] !== 0x1f) return false
    response.writeHead(200)
    response.write(bytes.subarray(0, 30), () => { abort.abort() })
    return true
  }
  await expect(pullImage(store, here('app'), { signal: abort.signal })).rejects.toMatchObject({ code: 'ERR_MAYFLY_ABORTED' })
  expect(await left()).toEqual({ layers: [], ingest: [], trash: [], refs: [] })
})

test('a blob damaged on disk is fetched again when its layer is unpacked anew', async () => {
  registry.add('app', 'latest', [base])
  await pullImage(store, here('app'))
  const [digest] = [...registry.blobs].find(([, content]) => content[0] === 0x1f) ?? ['']
  await writeFile(join(home.path, 'blobs', digest.replace(':', '/')), 'damaged')
  const rebooted = { ...store, bootId: 'another' }
  const image = await pullImage(rebooted, here('app'), { policy: 'always' })
  expect((await imageFile(image, 'etc/passwd'))?.toString()).toContain('root')
})

/** Puts an index before what `add` gives for each platform; entries without layers are attestations. */
function addIndex(name: string, platforms: readonly string[], more: readonly object[] = []): void {
  const manifests = platforms.map((platform) => {
    const [os, architecture, variant] = platform.split('/')
    const digest = registry.add(name, `of-${platform.replaceAll('/', '-')}`, [tar([{ name: 'platform', content: platform }])], { document: { os, architecture, variant } })
    const size = registry.manifests.get(`${name}/manifests/${digest}`)?.length ?? 0
    return { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest, size, platform: { os, architecture, ...(variant === undefined ? {} : { variant }) } }
  })
  const index = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests: [...more, ...manifests] }))
  registry.manifests.set(`${name}/manifests/latest`, index)
  registry.manifests.set(`${name}/manifests/${sha256(index)}`, index)
}

async function chosen(name: string, platform?: string): Promise<string | undefined> {
  const image = await pullImage(store, here(name), platform === undefined ? {} : { platform: parsePlatform(platform) })
  return (await imageFile(image, 'platform'))?.toString()
}

test('an index gives what fits a platform best, and attestations to nobody', async () => {
  const attestation = { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest: sha256('none'), size: 1, platform: { os: 'unknown', architecture: 'unknown' }, annotations: { 'vnd.docker.reference.type': 'attestation-manifest' } }
  addIndex('app', ['linux/arm/v6', 'linux/arm/v7', 'linux/arm64/v8', 'linux/amd64', 'linux/amd64/v3', 'windows/amd64'], [attestation])
  const wanted = ['linux/amd64', 'amd64', 'x86_64', 'linux/amd64/v4', 'linux/arm64', 'aarch64', 'linux/arm/v7', 'linux/arm/v6', 'linux/arm/v8', 'linux/arm']
  const found = []
  for (const platform of wanted) found.push(await chosen('app', platform))
  expect(found).toEqual(['linux/amd64', 'linux/amd64', 'linux/amd64', 'linux/amd64/v3', 'linux/arm64/v8', 'linux/arm64/v8', 'linux/arm/v7', 'linux/arm/v6', 'linux/arm/v7', 'linux/arm/v7'])
})

test('a platform that nobody serves is answered with those there are', async () => {
  addIndex('app', ['linux/arm/v7', 'linux/s390x'])
  await expect(chosen('app', 'linux/riscv64')).rejects.toMatchObject({
    code: 'ERR_MAYFLY_PLATFORM_MISMATCH', message: `${registry.host}/app has no variant for linux/riscv64; it offers linux/arm/v7, linux/s390x`,
    details: { offered: ['linux/arm/v7', 'linux/s390x'] },
  })
  expect(() => parsePlatform('linux/a b')).toThrow(expect.objectContaining({ code: 'ERR_MAYFLY_OPTION_INVALID' }))
  expect(await left()).toEqual({ layers: [], ingest: [], trash: [], refs: [] })
})

test('indexes within indexes are followed twice, not for ever', async () => {
  addIndex('app', ['linux/amd64'])
  for (const depth of [1, 2]) {
    const inner = registry.manifests.get('app/manifests/latest') ?? Buffer.alloc(0)
    const outer = Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [{ mediaType: 'application/vnd.oci.image.index.v1+json', digest: sha256(inner), size: inner.length }] }))
    registry.manifests.set('app/manifests/latest', outer)
    registry.manifests.set(`app/manifests/${sha256(outer)}`, outer)
    if (depth === 1) expect(await chosen('app', 'linux/amd64')).toBe('linux/amd64')
  }
  await expect(pullImage(store, here('app'), { policy: 'always' })).rejects.toThrow('its indexes are nested too deeply')
})

test('layers with foreign URLs are asked of the registry, nobody else', async () => {
  const other = await fakeRegistry()
  try {
    registry.add('app', 'latest', [base])
    const manifest = JSON.parse(registry.manifests.get('app/manifests/latest')?.toString() ?? '') as { layers: { mediaType: string, urls?: string[], digest: string }[] }
    const [layer] = manifest.layers
    if (layer === undefined) throw new Error('no layer')
    layer.mediaType = 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip'
    layer.urls = [`${other.origin}/blobs/${layer.digest}`]
    other.blobs.set(layer.digest, registry.blobs.get(layer.digest) ?? Buffer.alloc(0))
    registry.blobs.delete(layer.digest)
    registry.manifests.set('app/manifests/latest', Buffer.from(JSON.stringify(manifest)))
    await expect(pullImage(store, here('app'))).rejects.toMatchObject({ code: 'ERR_MAYFLY_IMAGE_NOT_FOUND' })
    expect(other.seen).toEqual([])
  } finally {
    await other.close()
  }
})

test('policies: missing asks once, always each time, never not at all', async () => {
  await expect(pullImage(store, here('app'), { policy: 'never' })).rejects.toMatchObject({ code: 'ERR_MAYFLY_IMAGE_NOT_FOUND', hint: `Pull it first: mayfly pull ${registry.host}/app` })
  expect(registry.seen).toEqual([])
  const first = registry.add('app', 'latest', [base])
  expect((await pullImage(store, here('app'), { policy: 'missing' })).digest).toBe(first)
  const second = registry.add('app', 'latest', [base, upper])
  expect((await pullImage(store, here('app'), { policy: 'missing' })).digest).toBe(first)
  expect((await pullImage(store, here('app'), { policy: 'always' })).digest).toBe(second)
  expect((await pullImage(store, here('app'), { policy: 'never' })).digest).toBe(second)
  await registry.close()
  expect((await pullImage(store, here('app'), { policy: 'missing' })).digest).toBe(second)
  await expect(pullImage(store, here('app'), { policy: 'always' })).rejects.toMatchObject({ code: 'ERR_MAYFLY_REGISTRY_UNAVAILABLE' })
})

import { randomBytes } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { openStore, pullImage, verifyStore, type PullProgress, type Store } from '../../src/images/index.js'
import { parseReference } from '../../src/reference.js'
import { fakeRegistry, sha256, tar, temporaryHome, type FakeRegistry } from './fixture.js'

let mirror: FakeRegistry
let other: FakeRegistry
let home: Awaited<ReturnType<typeof temporaryHome>>
let store: Store
let layer: Buffer
const content = randomBytes(30_000).toString('base64')
const warnings: string[] = []
const warned = (warning: Error & { code?: string }): void => void (warning.code === 'MAYFLY_REGISTRY_WRONG' && warnings.push(warning.message))

beforeEach(async () => {
  ;[mirror, other, home] = await Promise.all([fakeRegistry(), fakeRegistry(), temporaryHome()])
  store = await openStore(home.path)
  process.env['MAYFLY_REGISTRY_MIRROR'] = `${mirror.origin},${other.origin},off`
  for (const registry of [mirror, other]) registry.add('library/app', 'latest', [tar([{ name: 'file', content }])])
  layer = [...mirror.blobs.values()].find((bytes) => bytes[0] === 0x1f) ?? Buffer.alloc(0)
  process.on('warning', warned)
})
afterEach(async () => {
  process.off('warning', warned)
  warnings.length = 0
  delete process.env['MAYFLY_REGISTRY_MIRROR']
  await Promise.all([mirror.close(), other.close(), home.remove()])
})

type Answer = (response: ServerResponse, request: IncomingMessage) => void

/** What a registry says of the tag, of the configuration, or of the layer. */
function faulty(registry: FakeRegistry, what: 'tag' | 'digest' | 'config' | 'layer', answer: Answer): void {
  registry.intercept = (request, response) => {
    const bytes = registry.blobs.get((request.url ?? '').replace(/.*\//, ''))
    const asked = bytes === undefined ? (request.url?.includes('sha256:') === true ? 'digest' : 'tag') : bytes[0] === 0x1f ? 'layer' : 'config'
    if (asked !== what || request.method !== 'GET') return false
    answer(response, request)
    return true
  }
}

function gets(registry: FakeRegistry): number {
  return registry.seen.filter((line) => line.includes(`/blobs/${sha256(layer)}`)).length
}

async function isWhole(reference = 'app'): Promise<void> {
  const image = await pullImage(store, parseReference(reference))
  expect(await readFile(join(image.layers[0] ?? '', 'file'), 'utf8')).toBe(content)
  expect((await verifyStore(store)).problems).toEqual([])
  expect(await Promise.all(['ingest', 'trash'].map((name) => readdir(join(home.path, name))))).toEqual([[], []])
}

/** The same length, other bytes. */
function altered(bytes: Buffer): Buffer {
  const other = Buffer.from(bytes)
  other[bytes.length >> 1] = (other[bytes.length >> 1] ?? 0) ^ 1
  return other
}

const page = '<!DOCTYPE html><title>Please log in</title>'

describe('a mirror that gives something else is passed over and told of', () => {
  test.each<[string, Answer]>([
    ['a page instead of a manifest', (response) => void response.writeHead(200, { 'content-type': 'text/html' }).end(page)],
    ['no manifest', (response) => void response.writeHead(200, { 'content-type': 'application/json' }).end('{}')],
    ['an index by name, an image by content', (response) => void response.writeHead(200, { 'content-type': 'application/vnd.oci.image.index.v1+json' }).end(mirror.manifests.get('library/app/manifests/latest'))],
    ['a manifest with the digest of another', (response) => void response.writeHead(200, { 'docker-content-digest': sha256('other') }).end(mirror.manifests.get('library/app/manifests/latest'))],
    ['a manifest of old', (response) => void response.end('{"schemaVersion":1,"fsLayers":[]}')],
    ['a manifest without end', (response) => void response.end(Buffer.alloc(5 * 2 ** 20, ' '))],
  ])('%s', async (_, answer) => {
    faulty(mirror, 'tag', answer)
    await isWhole()
    expect(warnings).toEqual([expect.stringContaining(`What ${mirror.host} gave for app`)])
  })

  test('other bytes under a digest that was asked for', async () => {
    const digest = sha256(other.manifests.get('library/app/manifests/latest') ?? '')
    faulty(mirror, 'digest', (response) => void response.end(altered(mirror.manifests.get('library/app/manifests/latest') ?? Buffer.alloc(1))))
    await isWhole(`app@${digest}`)
    expect(warnings).toEqual([expect.stringContaining('has the digest')])
  })

  test('another configuration', async () => {
    faulty(mirror, 'config', (response) => void response.end('{}'))
    await isWhole()
    expect(warnings).toEqual([expect.stringContaining('The config of docker.io/library/app:latest has the digest')])
  })

  test.each<[string, Answer]>([
    ['a layer with one bit turned', (response) => void response.end(altered(layer))],
    ['a layer too long', (response) => void response.end(Buffer.concat([layer, layer]))],
    ['a page as long as the layer', (response) => void response.end(page.padEnd(layer.length))],
    ['a layer that says it is zstd', (response) => void response.end(Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd]), layer.subarray(4)]))],
  ])('%s', async (_, answer) => {
    faulty(mirror, 'layer', answer)
    await isWhole()
    expect([gets(mirror), gets(other)]).toEqual([1, 1])
    expect(warnings).toEqual([expect.stringContaining(`What ${mirror.host} gave for app`)])
  })
})

test('a page shorter than the layer, then what the next one adds to it: both are told of, and who broke off comes last', async () => {
  faulty(mirror, 'layer', (response) => void response.end(page))
  await isWhole()
  expect(gets(other)).toBe(2)
  expect(warnings).toEqual([expect.stringContaining(`What ${mirror.host}, then ${other.host} gave`)])
})

test('a mirror that breaks off and one that alters the rest: the first is asked again, for all of it', async () => {
  let times = 0
  faulty(mirror, 'layer', (response) => {
    times += 1
    if (times > 2) response.end(layer)
    else response.writeHead(200, { 'content-length': layer.length }).write(layer.subarray(0, 100), () => response.destroy())
  })
  faulty(other, 'layer', (response, { headers }) => {
    const from = Number(/\d+/.exec(headers.range ?? '0')?.[0])
    response.writeHead(from === 0 ? 200 : 206, { 'content-range': `bytes ${String(from)}-${String(layer.length - 1)}/${String(layer.length)}` }).end(altered(layer).subarray(from))
  })
  await isWhole()
  expect([gets(mirror), gets(other)]).toEqual([3, 2])
})

test('a mirror that goes on with another part is passed over for it', async () => {
  faulty(mirror, 'layer', (response, { headers }) => {
    if (headers.range !== undefined) response.writeHead(206, { 'content-range': `bytes 0-3/${String(layer.length)}` }).end('abcd')
    else response.writeHead(200, { 'content-length': layer.length }).write(layer.subarray(0, 100), () => response.destroy())
  })
  await isWhole()
  expect([gets(mirror), gets(other)]).toEqual([2, 1])
})

test('when all of them give other bytes, each is asked once, the error names them, and nothing is kept', async () => {
  for (const registry of [mirror, other]) faulty(registry, 'layer', (response) => void response.end(altered(layer)))
  const error: unknown = await pullImage(store, parseReference('app')).catch((one: unknown) => one)
  expect(error).toMatchObject({
    code: 'ERR_MAYFLY_DIGEST_MISMATCH',
    details: { asked: [mirror, other].map(({ host }) => ({ registry: host, code: 'ERR_MAYFLY_DIGEST_MISMATCH' })) },
  })
  expect([gets(mirror), gets(other)]).toEqual([1, 1])
  expect(await Promise.all([store.layers, ...['ingest', 'trash', 'refs', 'blobs/sha256'].map((name) => join(home.path, name))].map((place) => readdir(place)))).toEqual([[], [], [], [], []])
  mirror.intercept = () => false
  await isWhole()
})

test('a layer that is as announced but no layer is asked of nobody else', async () => {
  for (const registry of [mirror, other]) {
    registry.blobs.clear()
    registry.add('library/app', 'latest', [Buffer.from('no tar'.padEnd(700))])
  }
  layer = [...mirror.blobs.values()].find((bytes) => bytes[0] === 0x1f) ?? Buffer.alloc(0)
  await expect(pullImage(store, parseReference('app'))).rejects.toMatchObject({ code: 'ERR_MAYFLY_LAYER_INVALID' })
  expect([gets(mirror), gets(other)]).toEqual([1, 0])
})

test('a document that breaks off is asked for again', async () => {
  let times = 0
  faulty(mirror, 'tag', (response) => {
    const bytes = mirror.manifests.get('library/app/manifests/latest') ?? Buffer.alloc(1)
    times += 1
    response.writeHead(200, { 'content-length': bytes.length })
    if (times === 1) response.write(bytes.subarray(0, 10), () => response.destroy())
    else response.end(bytes)
  })
  process.env['MAYFLY_REGISTRY_MIRROR'] = `${mirror.origin},off`
  await isWhole()
  expect(times).toBe(2)
})

test('progress counts what comes again once', async () => {
  faulty(mirror, 'layer', (response) => void response.end(altered(layer)))
  const told: PullProgress[] = []
  await pullImage(store, parseReference('app'), { onProgress: (progress) => told.push(progress) })
  expect(told.at(-1)).toMatchObject({ done: layer.length, total: layer.length })
  expect(told.every(({ done, rate }) => done >= 0 && done <= layer.length && rate >= 0)).toBe(true)
  expect(told.map(({ layers }) => layers[0]?.state)).toContain('downloading')
})

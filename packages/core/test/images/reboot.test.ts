import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { imageFile, openStore, pullImage, type Store } from '../../src/images/index.js'
import { parseReference, type Reference } from '../../src/reference.js'
import { fakeRegistry, tar, temporaryHome, type FakeRegistry } from './fixture.js'

let registry: FakeRegistry
let home: Awaited<ReturnType<typeof temporaryHome>>
let store: Store
let app: Reference

beforeEach(async () => {
  registry = await fakeRegistry()
  home = await temporaryHome()
  store = await openStore(home.path)
  registry.add('app', 'latest', [tar([{ name: 'file', content: 'one' }]), tar([{ name: 'other', content: 'two' }])])
  app = parseReference(`${registry.host}/app`)
  await pullImage(store, app)
  registry.seen.length = 0
})

afterEach(async () => {
  await registry.close()
  await home.remove()
})

/** The store as it is found after a reboot: another boot, and nothing known in memory. */
async function rebooted(): Promise<Store> {
  return { ...await openStore(home.path), bootId: 'another' }
}

async function records(): Promise<{ file: string, record: Record<string, unknown> }[]> {
  const layers = await readdir(store.layers)
  return Promise.all(layers.map(async (name) => {
    const file = join(store.layers, name, 'layer.json')
    return { file, record: JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown> }
  }))
}

test.each(['missing', 'never'] as const)('layers of an earlier boot are unpacked again from their blobs, offline (%s)', async (policy) => {
  const { layers: [top = ''] } = await pullImage(store, app)
  const before = (await stat(top)).ino
  await writeFile(join(top, 'other'), '')
  const image = await pullImage(await rebooted(), app, { policy })
  expect((await imageFile(image, 'other'))?.toString()).toBe('two')
  expect((await stat(image.layers[0] ?? '')).ino).not.toBe(before)
  expect(registry.seen).toEqual([])
})

test('a blob that is gone or torn is fetched, and an image that may not be fetched is missing', async () => {
  const blobs = join(home.path, 'blobs/sha256')
  const [layer = ''] = [...registry.blobs].find(([, bytes]) => bytes[0] === 0x1f) ?? []
  await writeFile(join(blobs, layer.slice(7)), 'torn')
  const later = await rebooted()
  await expect(pullImage(later, app, { policy: 'never' })).rejects.toMatchObject({
    code: 'ERR_MAYFLY_IMAGE_NOT_FOUND', hint: `Pull it first: mayfly pull ${app.familiar}`,
  })
  await pullImage(later, app)
  expect(registry.seen).toEqual([`GET /v2/app/blobs/${layer}`])
})

test('layers that have lain a minute are synced when used, and outlive a reboot', async () => {
  const began = (await records()).map(({ record }) => record)
  expect(began.map(({ bootId }) => bootId)).toEqual([store.bootId, store.bootId])
  await pullImage({ ...store }, app)
  for (const { file, record } of await records()) await writeFile(file, JSON.stringify({ ...record, placedAt: Date.now() - 61_000 }))
  const fresh = parseReference(`${registry.host}/app:latest@${(await pullImage(store, app)).digest}`)
  // Another name, so that nothing of it is known in memory.
  await pullImage(store, fresh)
  await expect.poll(async () => (await records()).map(({ record }) => record['bootId']), { timeout: 20_000 }).toEqual([undefined, undefined])
  await rm(join(home.path, 'blobs/sha256'), { recursive: true })
  const { layers } = await pullImage(store, app)
  const manifest = [...registry.manifests].find(([name]) => name.includes('sha256'))
  const config = [...registry.blobs].find(([, bytes]) => bytes[0] !== 0x1f)
  if (manifest === undefined || config === undefined) throw new Error('the registry has no image')
  const later = await rebooted()
  for (const [name, bytes] of [manifest, config]) await writeFile(join(home.path, 'blobs/sha256', name.replace(/.*sha256:/, '')), bytes)
  expect((await pullImage(later, app, { policy: 'never' })).layers).toEqual(layers)
})

test('a record that lacks what this version needs is no record', async () => {
  for (const { file, record: { opaque: _, ...record } } of await records()) await writeFile(file, JSON.stringify(record))
  const image = await pullImage({ ...store, bootId: store.bootId, home: store.home }, parseReference(`${registry.host}/app:latest`), { policy: 'always' })
  expect((await imageFile(image, 'other'))?.toString()).toBe('two')
  expect((await records()).every(({ record }) => Array.isArray(record['opaque']))).toBe(true)
})

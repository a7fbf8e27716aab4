import { utimes } from 'node:fs/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { pruneImages } from '../../src/container/images.js'
import { listCatalog, measureImages, openStore, pullImage, type Store } from '../../src/images/index.js'
import { blobPath } from '../../src/images/store.js'
import { parseReference } from '../../src/reference.js'
import { fakeRegistry, tar, temporaryHome, type FakeRegistry } from '../images/fixture.js'

const HOUR = 3_600_000
const base = tar([{ name: 'base', content: 'b'.repeat(5000) }])
let registry: FakeRegistry
let home: Awaited<ReturnType<typeof temporaryHome>>
let store: Store

// Used three, two and one hour ago.
beforeEach(async () => {
  registry = await fakeRegistry()
  home = await temporaryHome()
  process.env['MAYFLY_HOME'] = home.path
  store = await openStore()
  for (const [nth, name] of ['old', 'middle', 'new'].entries()) {
    registry.add(name, 'latest', [base, tar([{ name, content: name.repeat(3000) }])])
    const { digest } = await pullImage(store, parseReference(`${registry.host}/${name}`))
    const used = new Date(Date.now() - (3 - nth) * HOUR)
    await utimes(blobPath(store, digest), used, used)
  }
})

afterEach(async () => {
  delete process.env['MAYFLY_HOME']
  await registry.close()
  await home.remove()
})

async function left(): Promise<string[]> {
  return (await listCatalog(store)).flatMap(({ names }) => names.map(({ reference }) => reference.repository)).sort()
}

test('by age: what was not used for so long goes', async () => {
  const { images, bytes } = await pruneImages({ all: true, unusedFor: 2.5 * HOUR })
  expect(images).toHaveLength(1)
  expect(bytes).toBeGreaterThan(8000)
  expect(await left()).toEqual(['middle', 'new'])
  expect((await pruneImages({ all: true, unusedFor: 4 * HOUR })).images).toEqual([])
})

test('by size: the least recently used go until the others take no more than the cap', async () => {
  const total = (await measureImages(store))(await listCatalog(store))
  expect((await pruneImages({ cap: total })).images).toEqual([])
  await pruneImages({ cap: total - 1 })
  expect(await left()).toEqual(['middle', 'new'])
  // The layer that both have stays with the last of them.
  const two = (await measureImages(store))(await listCatalog(store))
  expect(two).toBeLessThan(total)
  await pruneImages({ cap: two - 1 })
  expect(await left()).toEqual(['new'])
  await pruneImages({ cap: 0 })
  expect(await left()).toEqual([])
})

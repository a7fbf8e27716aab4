import { utimesSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { pruneImages } from '../../src/container/images.js'
import { listCatalog, openStore, pullImage, storeUsage, verifyStore, type Store } from '../../src/images/index.js'
import { parseReference } from '../../src/reference.js'
import { fakeRegistry, tar, temporaryHome, type FakeRegistry } from '../images/fixture.js'

const HOUR = 3600_000
const before = process.env['MAYFLY_HOME']
let registry: FakeRegistry
let home: Awaited<ReturnType<typeof temporaryHome>>
let store: Store

beforeEach(async () => {
  registry = await fakeRegistry()
  home = await temporaryHome()
  process.env['MAYFLY_HOME'] = home.path
  store = await openStore()
})
afterEach(async () => {
  if (before === undefined) delete process.env['MAYFLY_HOME']
  else process.env['MAYFLY_HOME'] = before
  expect((await verifyStore(store)).problems).toEqual([])
  await registry.close()
  await home.remove()
})

const base = tar([{ name: 'base', content: 'base' }])
const big = tar([{ name: 'big', content: 'o'.repeat(100_000) }])

async function pull(name: string, layers: readonly Buffer[], hours: number): Promise<void> {
  const digest = registry.add(name, 'latest', layers, { config: { Labels: { name } } })
  await pullImage(store, parseReference(`${registry.host}/${name}`))
  const at = (Date.now() - hours * HOUR) / 1000
  utimesSync(join(home.path, 'blobs/sha256', digest.slice(7)), at, at)
}

async function names(): Promise<string[]> {
  return (await listCatalog(store)).flatMap((image) => image.names.map(({ reference }) => reference.repository)).sort()
}

test('images that were not used for long go, those that were stay', async () => {
  await pull('old', [base, big], 30)
  await pull('new', [base], 2)
  expect((await pruneImages({ all: true, unusedFor: 24 * HOUR })).images).toHaveLength(1)
  expect(await names()).toEqual(['new'])
})

test('the least recently used go until the others take no more than they may, and no others', async () => {
  await pull('newest', [base], 1)
  const cap = (await storeUsage(store)).imageBytes
  // Two that share what makes them large: with both it goes.
  await pull('first', [base, big], 3)
  await pull('second', [base, big], 2)
  expect((await pruneImages({ cap: (await storeUsage(store)).imageBytes })).images).toEqual([])
  expect((await pruneImages({ cap })).images).toHaveLength(2)
  expect(await names()).toEqual(['newest'])
  expect((await storeUsage(store)).imageBytes).toBe(cap)
})

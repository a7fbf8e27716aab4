import { afterEach, beforeEach, expect, test } from 'vitest'

import { imageFile, openStore, pullImage } from '../../src/images/index.js'
import { parseReference } from '../../src/reference.js'
import { fakeRegistry, tar, temporaryHome, type Entry, type FakeRegistry } from './fixture.js'

let registry: FakeRegistry
let home: Awaited<ReturnType<typeof temporaryHome>>

beforeEach(async () => {
  registry = await fakeRegistry()
  home = await temporaryHome()
})

afterEach(async () => {
  await registry.close()
  await home.remove()
})

const base: Entry[] = [
  { name: 'etc/', type: '5', mode: 0o755 },
  { name: 'etc/passwd', content: 'below' },
  { name: 'etc/inner/', type: '5', mode: 0o755 },
  { name: 'etc/inner/file', content: 'below' },
  { name: 'kept', content: 'below' },
]

test.each<[string, Entry[], Record<string, string | undefined>]>([
  ['a whiteout hides a file', [{ name: 'etc/.wh.passwd' }],
    { 'etc/passwd': undefined, 'etc/inner/file': 'below', kept: 'below' }],
  ['a whiteout hides a directory and all below it', [{ name: '.wh.etc' }],
    { 'etc/passwd': undefined, 'etc/inner/file': undefined, kept: 'below' }],
  ['an opaque directory shows its own only', [{ name: 'etc/', type: '5', mode: 0o755 }, { name: 'etc/.wh..wh..opq' }, { name: 'etc/new', content: 'above' }],
    { 'etc/passwd': undefined, 'etc/inner/file': undefined, 'etc/new': 'above', kept: 'below' }],
  ['a directory in place of a deleted one is opaque', [{ name: '.wh.etc' }, { name: 'etc/', type: '5', mode: 0o755 }, { name: 'etc/new', content: 'above' }],
    { 'etc/passwd': undefined, 'etc/new': 'above' }],
  ['an opaque root leaves nothing of what is below', [{ name: '.wh..wh..opq' }, { name: 'own', content: 'above' }],
    { 'etc/passwd': undefined, kept: undefined, own: 'above' }],
  ['a link through an opaque directory finds nothing', [
    { name: 'etc/', type: '5', mode: 0o755 }, { name: 'etc/.wh..wh..opq' }, { name: 'link', type: '2', target: '/etc/passwd' }],
  { link: undefined }],
])('%s', async (_, upper, expected) => {
  registry.add('app', 'latest', [tar(base), tar(upper), tar([{ name: 'top', content: 'top' }])])
  const image = await pullImage(await openStore(home.path), parseReference(`${registry.host}/app`))
  const found = await Promise.all(Object.keys(expected).map(async (path) => [path, (await imageFile(image, path))?.toString()] as const))
  expect(Object.fromEntries(found)).toEqual(expected)
})

import { chmodSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { archive, type Entry } from '../../../native/test/archive.js'
import { collectGarbage, imageFile, openStore, pullImage, verifyStore, type Image, type Store } from '../../src/images/index.js'
import { parseReference } from '../../src/reference.js'
import { fakeRegistry, sha256, temporaryHome, type FakeRegistry } from './fixture.js'

let registry: FakeRegistry
let home: Awaited<ReturnType<typeof temporaryHome>>
let store: Store
/** What every attack aims at. */
let target: string
let before: NodeJS.ProcessEnv

beforeEach(async () => {
  before = { ...process.env }
  registry = await fakeRegistry()
  home = await temporaryHome()
  store = await openStore(home.path)
  target = mkdtempSync(join(tmpdir(), 'mayfly-target-'))
  writeFileSync(join(target, 'secret'), 'untouched', { mode: 0o600 })
})

afterEach(async () => {
  process.env = before
  expect(readdirSync(target)).toEqual(['secret'])
  expect(readFileSync(join(target, 'secret'), 'utf8')).toBe('untouched')
  expect(statSync(join(target, 'secret'))).toMatchObject({ mode: 0o100600, nlink: 1 })
  expect((await verifyStore(store)).problems).toEqual([])
  await registry.close()
  await home.remove()
  rmSync(target, { recursive: true })
})

const file = (name: string, data: string | Buffer = 'evil'): Entry => ({ name, data })
const link = (name: string, to: string): Entry => ({ name, type: '2', link: to })
const hard = (name: string, to: string): Entry => ({ name, type: '1', link: to })
const base = archive({ name: 'etc/', type: '5', mode: 0o755 }, file('etc/passwd', 'root:x:0:0::/:/bin/sh\n'))

function pull(name = 'app'): Promise<Image> {
  return pullImage(store, parseReference(`${registry.host}/${name}`))
}

/** All that a store can hold, but for the locks that a collection takes away. */
function kept(): string[] {
  return ['blobs/sha256', basename(store.layers), 'refs', 'ingest', 'trash', 'leases'].flatMap((name) => readdirSync(join(home.path, name)).map((one) => `${name}/${one}`))
}

const up = '../../../../../../../../../../../..'

describe('a layer', () => {
  const layers: readonly (readonly [string, (secret: string) => readonly Entry[], RegExp])[] = [
    ['with .. in a name', (secret) => [file(`${up}${secret}`)], /a name with \.\./],
    ['with a NUL in a name', (secret) => [{ name: 'x', pax: { path: `${secret}\0.txt` }, data: 'evil' }], /a NUL/],
    ['that writes through a symbolic link (CVE-2020-27833)', (secret) => [link('l', secret.replace(/\/[^/]*$/, '')), file('l/secret')], /symbolic link/],
    ['that writes through a link which a file of another name stood for (CVE-2026-23745)', (secret) => [link('l/', secret.replace(/\/[^/]*$/, '')), file('l//./secret')], /symbolic link/],
    ['with two symbolic links and a hard link (CVE-2026-26960)', (secret) => [link('a', '.'), link('a/b', `${up}${secret}`), hard('c', 'a/b'), file('c')], /symbolic link/],
    ['whose root is a symbolic link (CVE-2021-29136)', () => [link('.', '/etc'), file('./passwd')], /the root must be a directory/],
    ['with a hard link to a file of the host, and its mode', (secret) => [hard('h', secret), { ...file('h2'), type: '1', link: secret, mode: 0o6777 }], /not there/],
    ['with a hard link that climbs out', (secret) => [hard('h', `${up}${secret}`)], /a name with \.\./],
    ['that removes through a symbolic link', (secret) => [link('l', secret.replace(/\/[^/]*$/, '')), { name: 'l/.wh.secret' }], /symbolic link/],
    ['that removes the directory above', () => [{ name: 'd/.wh...' }], /a whiteout of no name/],
    ['with a device that would be a whiteout', () => [{ name: 'x', type: '3' }], /would be a whiteout/],
    ['with a sparse file of eight exabytes', () => [{ name: 'x', pax: { 'GNU.sparse.major': '1', 'GNU.sparse.realsize': '9223372036854775807' } }], /sparse/],
    ['with an extended header without end', () => [{ name: 'x', type: 'x', size: 1 << 30 }], /too large/],
    ['with ten thousand attributes', () => [{ name: 'x', pax: Object.fromEntries(Array.from({ length: 10_000 }, (_, at) => [`SCHILY.xattr.user.${String(at)}`, 'x'])) }], /too (many|large)/],
    ['nested without end', () => [{ name: 'x', pax: { path: `${'a/'.repeat(2000)}b` } }], /nested too deeply/],
    ['that is cut off', () => [{ name: 'x', size: 1 << 20 }], /cut off/],
    ['with an owner that is none', () => [{ name: 'x', pax: { uid: '4294967295' } }], /out of range/],
  ]
  test.each(layers)('%s', async (_, entries, why) => {
    registry.add('app', 'latest', [archive(...entries(join(target, 'secret')))])
    await expect(pull()).rejects.toMatchObject({ code: 'ERR_MAYFLY_LAYER_INVALID', message: expect.stringMatching(why) as string })
    expect(kept()).toEqual([])
  })

  test('with absolute names and links is inside of itself', async () => {
    registry.add('app', 'latest', [archive(file(join(target, 'secret'), 'inside'), hard(join(target, 'twin'), join(target, 'secret')))])
    const image = await pull()
    expect((await imageFile(image, join(target, 'twin')))?.toString()).toBe('inside')
  })

  test('with the overlay\'s own attributes has none of them', async () => {
    const attributes = { 'SCHILY.xattr.trusted.overlay.redirect': '/etc', 'SCHILY.xattr.user.overlay.opaque': 'y', 'SCHILY.xattr.trusted.overlay.metacopy': '', 'SCHILY.xattr.user.own': 'kept' }
    registry.add('app', 'latest', [base, archive({ name: 'etc/', type: '5', mode: 0o755, pax: attributes })])
    const image = await pull()
    // Neither hidden nor redirected.
    expect((await imageFile(image, 'etc/passwd'))?.toString()).toContain('root')
    const { getfattr } = await import('./xattr.js')
    expect(getfattr(join(image.layers[0] ?? '', 'etc'))).toEqual(['user.own=kept'])
  })

  test('with setuid programs lies where nobody else may look, whatever the umask', async () => {
    const old = process.umask(0)
    try {
      registry.add('app', 'latest', [archive({ ...file('su'), mode: 0o4755 })])
      const image = await pull()
      chmodSync(home.path, statSync(home.path).mode & 0o7777)
      expect(statSync(join(image.layers[0] ?? '', 'su')).mode & 0o7777).toBe(0o4755)
      for (const name of ['', basename(store.layers), 'blobs', 'blobs/sha256', 'refs', 'ingest']) expect([name, statSync(join(home.path, name)).mode & 0o077]).toEqual([name, 0])
    } finally {
      process.umask(old)
    }
  })

  test('whose plain digest is not its diffID does not poison what others share', async () => {
    registry.add('app', 'latest', [archive(file('etc/passwd'))], { diffIds: [sha256(base)] })
    await expect(pull()).rejects.toMatchObject({ code: 'ERR_MAYFLY_DIGEST_MISMATCH' })
    expect(kept()).toEqual([])
    registry.add('app', 'latest', [base])
    expect((await imageFile(await pull(), 'etc/passwd'))?.toString()).toContain('root')
    const good = kept()
    // Nor do its bytes go, which are what they are called.
    registry.add('app', 'evil', [base], { diffIds: [sha256('another')] })
    await expect(pull('app:evil')).rejects.toMatchObject({ code: 'ERR_MAYFLY_DIGEST_MISMATCH' })
    expect(kept()).toEqual(good)
  })
})

describe('a bomb', () => {
  test('of size, whose bytes are given back', async () => {
    process.env['MAYFLY_LAYER_MAX_SIZE'] = '8m'
    registry.add('app', 'latest', [archive(file('small', 'x'), file('zeros', Buffer.alloc(64 * 2 ** 20)))])
    await expect(pull()).rejects.toMatchObject({ code: 'ERR_MAYFLY_LAYER_INVALID', message: expect.stringContaining('larger than allowed') as string, hint: expect.stringContaining('MAYFLY_LAYER_MAX_SIZE') as string })
    expect(kept()).toEqual([])
  })

  test('of a ratio that nothing honest has', async () => {
    // A megabyte that becomes more than the gigabyte that any layer may have: zeros behind the end of the archive, which are no file.
    const zeros = gzipSync(Buffer.alloc(8 * 2 ** 20))
    const bomb = Buffer.concat([gzipSync(archive(file('small', 'x'))), ...Array<Buffer>(130).fill(zeros)])
    registry.add('app', 'latest', [base])
    const manifest = JSON.parse(String(registry.manifests.get('app/manifests/latest'))) as { layers: object[] }
    registry.blobs.set(sha256(bomb), bomb)
    registry.manifests.set('app/manifests/latest', Buffer.from(JSON.stringify({ ...manifest, layers: [{ ...manifest.layers[0], digest: sha256(bomb), size: bomb.length }] })))
    process.env['MAYFLY_LAYER_MAX_RATIO'] = '100'
    await expect(pull()).rejects.toMatchObject({ code: 'ERR_MAYFLY_LAYER_INVALID', message: expect.stringContaining('larger than allowed') as string })
    expect(kept()).toEqual([])
    const { plainLimit, layerLimits } = await import('../../src/layers/limits.js')
    expect([1000, 2e7, 1e9].map((size) => plainLimit(size, layerLimits()))).toEqual([2 ** 30, 2e9, 32 * 2 ** 30])
    expect(() => layerLimits({ MAYFLY_LAYER_MAX_RATIO: 'much' })).toThrow(expect.objectContaining({ code: 'ERR_MAYFLY_OPTION_INVALID' }))
  })

  test('of entries', async () => {
    process.env['MAYFLY_LAYER_MAX_ENTRIES'] = '100'
    registry.add('app', 'latest', [archive(...Array.from({ length: 101 }, (_, at) => file(String(at), '')))])
    await expect(pull()).rejects.toMatchObject({ code: 'ERR_MAYFLY_LAYER_INVALID', message: expect.stringContaining('too many entries') as string })
    expect(kept()).toEqual([])
  })

  test('of layers', async () => {
    const descriptor = { mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', digest: sha256('x'), size: 1 }
    registry.manifests.set('app/manifests/latest', Buffer.from(JSON.stringify({ schemaVersion: 2, config: descriptor, layers: Array(1001).fill(descriptor) })))
    await expect(pull()).rejects.toMatchObject({ code: 'ERR_MAYFLY_MANIFEST_INVALID' })
    expect(kept()).toEqual([])
  })
})

describe('documents', () => {
  const manifest = (change: (json: { config: Record<string, unknown>, layers: Record<string, unknown>[] } & Record<string, unknown>) => void): Buffer => {
    registry.add('app', 'latest', [base])
    const json = JSON.parse(String(registry.manifests.get('app/manifests/latest'))) as Parameters<typeof change>[0]
    change(json)
    return Buffer.from(JSON.stringify(json))
  }
  const cases: readonly (readonly [string, () => Buffer, string])[] = [
    ['with a digest that is a path (CVE-2024-3727)', () => manifest(({ layers: [layer] }) => { Object.assign(layer ?? {}, { digest: 'sha256:../../../../../../etc/passwd' }) }), 'MANIFEST_INVALID'],
    ['with a digest of another algorithm', () => manifest(({ config }) => { config['digest'] = 'md5:d41d8cd98f00b204e9800998ecf8427e' }), 'MANIFEST_INVALID'],
    ['that are index and image at once (CVE-2021-41190)', () => manifest((json) => { json['manifests'] = [] }), 'MANIFEST_INVALID'],
    ['without measure', () => manifest((json) => { json['padding'] = ' '.repeat(5 * 2 ** 20) }), 'MANIFEST_INVALID'],
    ['nested a hundred thousand deep', () => Buffer.from(`{"layers":${'['.repeat(1e5)}${']'.repeat(1e5)}}`), 'MANIFEST_INVALID'],
    ['that are no JSON', () => Buffer.from('<html>'), 'MANIFEST_INVALID'],
    ['whose __proto__ has what they lack', () => Buffer.from(`{"schemaVersion":2,"__proto__":{"config":{"digest":"${sha256('x')}","size":1},"layers":[]}}`), 'MANIFEST_INVALID'],
    ['with a size below nothing', () => manifest(({ layers: [layer] }) => { Object.assign(layer ?? {}, { size: -1 }) }), 'MANIFEST_INVALID'],
  ]
  test.each(cases)('%s', async (_, document, code) => {
    registry.manifests.set('app/manifests/latest', document())
    await expect(pull()).rejects.toMatchObject({ code: `ERR_MAYFLY_${code}` })
    expect(kept()).toEqual([])
    expect(Object.keys(Object.prototype)).toEqual([])
  })

  test('a configuration that is too large, or lists another number of layers', async () => {
    registry.add('app', 'latest', [base], { document: { padding: 'x'.repeat(5 * 2 ** 20) } })
    await expect(pull()).rejects.toMatchObject({ code: 'ERR_MAYFLY_MANIFEST_INVALID' })
    registry.add('app', 'latest', [base], { diffIds: [sha256(base), sha256(base)] })
    await expect(pull()).rejects.toMatchObject({ code: 'ERR_MAYFLY_MANIFEST_INVALID' })
    expect(kept()).toEqual([])
  })

  test('a configuration whose values are of other kinds, hold NULs, or name prototypes, means nothing', async () => {
    const config = JSON.parse('{"Env":["A=b","NOEQUALS","=x","N=\\u0000",7],"Cmd":"sh","Entrypoint":[["x"]],"User":{"toString":1},"WorkingDir":"/a\\u0000b","Volumes":{"__proto__":{},"/v":{}},"Labels":{"__proto__":"x","constructor":"y","a":1},"ExposedPorts":["80"]}') as object
    registry.add('app', 'latest', [base], { config })
    const image = await pull()
    expect(image.config).toMatchObject({ Env: ['A=b'], Cmd: [], Entrypoint: [], User: '', WorkingDir: '' })
    expect(image.config.Labels).not.toHaveProperty('a')
    expect(({} as Record<string, unknown>)['x']).toBeUndefined()
  })
})

test('credentials are in no error, and in nothing of the store', async () => {
  process.env['DOCKER_AUTH_CONFIG'] = JSON.stringify({ auths: { [registry.host]: { username: 'ann', password: 'pa55w0rd' } } })
  registry.intercept = (request, response) => {
    if (request.headers.authorization === undefined) response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end()
    else response.writeHead(403).end(`no entry for ${String(request.headers.authorization)}`)
    return true
  }
  const error: unknown = await pull().catch((one: unknown) => one)
  expect(error).toMatchObject({ code: 'ERR_MAYFLY_REGISTRY_UNAUTHORIZED' })
  const { inspect } = await import('node:util')
  const told = inspect(error, { depth: 20 }) + JSON.stringify(error)
  for (const secret of ['pa55w0rd', Buffer.from('ann:pa55w0rd').toString('base64')]) expect(told).not.toContain(secret)
  expect(kept()).toEqual([])
})

test('bytes that are none of the announced ones', async () => {
  registry.add('app', 'latest', [base])
  const [digest] = [...registry.blobs].find(([, bytes]) => bytes[0] === 0x1f) ?? ['']
  registry.blobs.set(digest, gzipSync(archive(file('other'))))
  await expect(pull()).rejects.toMatchObject({ code: 'ERR_MAYFLY_DIGEST_MISMATCH' })
  expect(kept()).toEqual([])
  // What a collection takes away, and what it must not, is the same afterwards.
  expect((await collectGarbage(store)).blobs).toEqual([])
})

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { appendFile, mkdir, readdir, readFile, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { collectGarbage, imageFile, leaseForRun, openLease, openStore, pullImage, verifyStore, type Store } from '../../src/images/index.js'
import { removeRef } from '../../src/images/refs.js'
import { nativeBinary } from '../../src/native/index.js'
import { parseReference, type Reference } from '../../src/reference.js'
import { fakeRegistry, sha256, tar, temporaryHome, type FakeRegistry } from './fixture.js'

let registry: FakeRegistry
let home: Awaited<ReturnType<typeof temporaryHome>>
let store: Store

beforeEach(async () => {
  registry = await fakeRegistry()
  home = await temporaryHome()
  store = await openStore(home.path)
  registry.add('one', 'latest', [base, own])
  registry.add('two', 'latest', [base, other])
})

afterEach(async () => {
  expect((await verifyStore(store)).problems).toEqual([])
  await registry.close()
  await home.remove()
})

const base = tar([{ name: 'etc/', type: '5', mode: 0o755 }, { name: 'etc/base', content: 'base' }])
const own = tar([{ name: 'own', content: 'o'.repeat(8000) }])
const other = tar([{ name: 'other', content: 'other' }])
const hex = (layer: Buffer): string => sha256(layer).slice(7)

function here(name: string): Reference {
  return parseReference(`${registry.host}/${name}`)
}

async function kept(): Promise<string[]> {
  return (await readdir(store.layers)).sort()
}

test('what no name leads to goes, and what images share stays', async () => {
  await pullImage(store, here('one'))
  const two = await pullImage(store, here('two'))
  expect(await collectGarbage(store)).toMatchObject({ images: [], blobs: [], layers: [] })
  await removeRef(store, here('one'))
  const gone = await collectGarbage(store)
  expect(gone.layers).toEqual([sha256(own)])
  expect(gone.blobs).toHaveLength(3)
  expect(gone.bytes).toBeGreaterThan(8000)
  expect(await kept()).toEqual([hex(base), hex(other)].sort())
  expect(await pullImage(store, here('two'), { policy: 'never' })).toEqual(two)
})

test('what dead processes left goes: locks, leases, half-made layers, torn files', async () => {
  await pullImage(store, here('one'))
  const at = (name: string): string => join(home.path, name)
  const long = new Date(Date.now() - 3600_000)
  await mkdir(at(`ingest/${'a'.repeat(64)}/layer/tree`), { recursive: true })
  await writeFile(at(`locks/${'a'.repeat(64)}`), '')
  await writeFile(at('leases/dead'), `${sha256('x')}\n`)
  await writeFile(at(`blobs/sha256/${'b'.repeat(64)}`), 'unreachable')
  await writeFile(at('blobs/sha256/torn.tmp'), '')
  await writeFile(at(`refs/${registry.host}/one/_tags/latest.123.tmp`), '')
  await mkdir(at(`trash/${'c'.repeat(64)}-12`))
  await mkdir(at('trash/0123456789abcdef'))
  await mkdir(at('runs/dead/scratch'), { recursive: true })
  await writeFile(at('runs/dead/lock'), '')
  await writeFile(at('sweeping'), '')
  await utimes(at('sweeping'), long, long)
  // Two minutes from now: nothing half written is being written any more.
  await collectGarbage(store, { now: Date.now() + 120_000 })
  const all = await Promise.all(['ingest', 'locks', 'leases', 'trash', 'runs'].map((name) => readdir(at(name))))
  expect(all).toEqual([[], [], [], [], []])
  expect(existsSync(at('sweeping'))).toBe(false)
  const files = await readdir(home.path, { recursive: true })
  expect(files.filter((name) => name.includes('.tmp') || name.endsWith('b'.repeat(64)))).toEqual([])
})

test('what a live process works on stays: its lock, its ingest, its lease', async () => {
  await pullImage(store, here('one'))
  await removeRef(store, here('one'))
  await mkdir(join(home.path, 'ingest', 'work'))
  const holder = spawn(nativeBinary(), ['lock', join(home.path, 'locks', 'work')])
  await once(holder.stdout, 'data')
  {
    await using lease = await openLease(store)
    await lease.hold(...[base, own].map((layer) => sha256(layer) as Parameters<typeof lease.hold>[0]))
    await collectGarbage(store, { now: Date.now() + 7200_000 })
    expect(await kept()).toEqual([hex(base), hex(own)].sort())
    expect(await readdir(join(home.path, 'ingest'))).toEqual(['work'])
  }
  holder.stdin.end()
  await once(holder, 'close')
  await collectGarbage(store)
  expect(await kept()).toEqual([])
  expect(await readdir(join(home.path, 'ingest'))).toEqual([])
})

test('what a live run uses stays until the run ends, whatever happens to its name', async () => {
  const image = await pullImage(store, here('one'))
  const run = join(home.path, 'runs', '0123')
  await mkdir(run, { recursive: true })
  const holder = spawn(nativeBinary(), ['lock', join(run, 'lock')])
  await once(holder.stdout, 'data')
  expect(await leaseForRun(home.path, run, image)).toBe(true)
  await removeRef(store, here('one'))
  await collectGarbage(store, { retire: (idle) => idle })
  expect((await imageFile(image, 'own'))?.length).toBe(8000)
  holder.stdin.end()
  await once(holder, 'close')
  await collectGarbage(store)
  expect(await kept()).toEqual([])
  expect(await leaseForRun(home.path, join(home.path, 'runs'), image)).toBe(false)
})

test('images are chosen by what they are, and those of live runs are not offered', async () => {
  const used = await pullImage(store, here('one'))
  await pullImage(store, here('two'))
  const run = join(home.path, 'runs', '0123')
  await mkdir(run, { recursive: true })
  const holder = spawn(nativeBinary(), ['lock', join(run, 'lock')])
  await once(holder.stdout, 'data')
  await leaseForRun(home.path, run, used)
  const { images } = await collectGarbage(store, { retire: (idle) => idle })
  expect(images.map(({ names }) => names.map(({ reference }) => reference.familiar))).toEqual([[`${registry.host}/two`]])
  holder.stdin.end()
  await once(holder, 'close')
})

test('a collection in the middle of a pull takes nothing the pull has or finds', async () => {
  // The base is there already, without a name: only the pull's lease keeps it.
  await pullImage(store, here('two'))
  await removeRef(store, here('two'))
  let open: () => void = () => undefined
  const gate = new Promise<void>((resolve) => { open = resolve })
  const blob = [...registry.blobs].find(([, bytes]) => bytes[0] === 0x1f && bytes.length > 60 && bytes.includes(Buffer.from([0x1f])) && registry.manifests.get('one/manifests/latest')?.includes(sha256(bytes)) === true && registry.manifests.get('two/manifests/latest')?.includes(sha256(bytes)) === false)
  if (blob === undefined) throw new Error('no layer of its own')
  let reached: () => void = () => undefined
  const began = new Promise<void>((resolve) => { reached = resolve })
  registry.intercept = (request, response) => {
    if (!(request.url ?? '').endsWith(blob[0])) return false
    response.writeHead(200)
    response.write(blob[1].subarray(0, 30))
    reached()
    void gate.then(() => response.end(blob[1].subarray(30)))
    return true
  }
  const pulling = pullImage(store, here('one'))
  await began
  expect((await collectGarbage(store, { now: Date.now() + 120_000 })).layers).toEqual([sha256(other)])
  expect(await kept()).toContain(hex(base))
  open()
  expect((await imageFile(await pulling, 'etc/base'))?.toString()).toBe('base')
  expect((await collectGarbage(store)).layers).toEqual([])
})

test('who writes a lease while a collector reads them waits until it is over', async () => {
  await writeFile(join(home.path, 'sweeping'), '')
  const collector = spawn(nativeBinary(), ['lock', join(home.path, 'sweep.lock')])
  await once(collector.stdout, 'data')
  await using lease = await openLease(store)
  let over = false
  const holding = lease.hold(sha256(base) as Parameters<typeof lease.hold>[0]).then(() => { over = true })
  await expect.poll(async () => (await Promise.all((await readdir(join(home.path, 'leases'))).map((name) => readFile(join(home.path, 'leases', name), 'utf8')))).join(''))
    .toBe(`${sha256(base)}\n`)
  expect(over).toBe(false)
  collector.stdin.end()
  await holding
  expect(existsSync(join(home.path, 'sweeping'))).toBe(false)
  // A half-written line is nobody's yet.
  await appendFile(join(home.path, 'leases', (await readdir(join(home.path, 'leases')))[0] ?? ''), 'sha256:12')
  await collectGarbage(store)
})

test('pulls, removals and collections at once never break an image that somebody has', { timeout: 60_000 }, async () => {
  const until = Date.now() + 3000
  let pulls = 0
  const puller = async (name: string): Promise<void> => {
    while (Date.now() < until || pulls <= 10) {
      const image = await pullImage(await openStore(home.path), here(name), { policy: 'always' })
      expect(image.layers).toHaveLength(2)
      pulls += 1
      await removeRef(store, here(name))
    }
  }
  const collector = async (): Promise<void> => {
    while (Date.now() < until || pulls <= 10) await collectGarbage(store)
  }
  await Promise.all([puller('one'), puller('two'), collector(), collector()])
  expect(pulls).toBeGreaterThan(10)
  await collectGarbage(store)
  expect(await kept()).toEqual([])
})

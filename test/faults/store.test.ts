import { spawn, type ChildProcessByStdio } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readdir, writeFile } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { collectGarbage, imageFile, openStore, pullImage, verifyStore, type Store } from '../../packages/core/src/images/index.js'
import { removeRef } from '../../packages/core/src/images/refs.js'
import { parseReference, type Reference } from '../../packages/core/src/reference.js'
import { fakeRegistry, sha256, tar, temporaryHome, type FakeRegistry } from '../../packages/core/test/images/fixture.js'

const puller = fileURLToPath(new URL('puller.mjs', import.meta.url))
/** The long form takes more. */
const KILLS = process.env['MAYFLY_TEST_KILL'] === 'full' ? 1000 : 20

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

const base = tar([{ name: 'etc/', type: '5', mode: 0o755 }, { name: 'etc/base', content: 'base' }])

/** Random, so that it does not shrink. */
function layer(name: string, kilobytes: number): Buffer {
  return tar([{ name, content: randomBytes(kilobytes * 512).toString('hex') }, { name: `of-${name}`, type: '1', target: 'etc/base' }])
}

function here(name: string): Reference {
  return parseReference(`${registry.host}/${name}`)
}

type Puller = ChildProcessByStdio<null, Readable, null>

function pull(...words: string[]): Puller {
  return spawn(process.execPath, [puller, ...words], { env: { ...process.env, MAYFLY_HOME: home.path }, stdio: ['ignore', 'pipe', 'inherit'] })
}

async function words(child: Puller): Promise<string[]> {
  const lines: string[] = []
  for await (const line of createInterface({ input: child.stdout })) lines.push(line)
  return lines
}

/** What dead pulls can leave. */
async function leftovers(): Promise<string[]> {
  const rooms = await Promise.all(['ingest', 'trash', 'leases', 'locks'].map(async (room) => (await readdir(join(home.path, room))).map((name) => `${room}/${name}`)))
  const torn = (await readdir(home.path, { recursive: true })).filter((name) => name.endsWith('.tmp'))
  return [...rooms.flat(), ...torn]
}

/** Sends a blob a piece at a time, so that it takes about so long. */
function slowly(bytes: Buffer, response: ServerResponse, milliseconds: number): void {
  response.writeHead(200, { 'content-length': bytes.length })
  const pieces = 8
  let sent = 0
  const next = (): void => {
    const end = Math.ceil(bytes.length * (sent + 1) / pieces)
    response.write(bytes.subarray(Math.ceil(bytes.length * sent / pieces), end))
    sent += 1
    if (sent === pieces) response.end()
    else setTimeout(next, milliseconds / pieces)
  }
  next()
}

test(`a pull that is killed leaves nothing in the way of the next, ${KILLS} times`, { timeout: KILLS * 2000 }, async () => {
  registry.intercept = (request, response) => {
    const bytes = registry.blobs.get((request.url ?? '').replace(/.*\//, ''))
    if (bytes?.[0] !== 0x1f) return false
    slowly(bytes, response, 60)
    return true
  }
  let finished = 0
  let whole = Number.POSITIVE_INFINITY
  // The first is let live, to see how long one takes.
  for (let round = 0; round <= KILLS; round += 1) {
    const name = `app:${round}`
    registry.add('app', String(round), [base, layer('a', 400), layer('b', 100)])
    const child = pull(`${registry.host}/${name}`)
    const closed = once(child, 'close')
    const lines = createInterface({ input: child.stdout })
    lines.once('line', () => {
      const began = performance.now()
      lines.on('line', () => {
        whole = Math.min(whole, performance.now() - began)
        if (round > 0) finished += 1
      })
      if (round > 0) setTimeout(() => child.kill('SIGKILL'), Math.random() * whole * 1.05)
    })
    await closed
    const image = await pullImage(store, here(name))
    expect((await imageFile(image, 'of-b'))?.toString()).toBe('base')
    expect(await verifyStore(store)).toMatchObject({ layers: 3, names: 1, problems: [] })
    await removeRef(store, here(name))
    // Its native helpers notice a moment later that it is gone. What is torn is old enough two minutes from now.
    await expect.poll(async () => {
      await collectGarbage(store, { now: Date.now() + 120_000 })
      return leftovers()
    }, { interval: 5, timeout: 5000 }).toEqual([])
    expect(await readdir(store.layers)).toEqual([])
    expect(await readdir(join(home.path, 'blobs/sha256'))).toEqual([])
  }
  process.stdout.write(`${KILLS} kills of pulls that take ${whole.toFixed(0)} ms, ${finished} of them after the pull was done\n`)
  expect(finished).toBeLessThan(KILLS)
})

test('what a killed pull had finished is not fetched again', async () => {
  registry.add('app', '1', [base, layer('a', 10), layer('b', 10)])
  const [last] = [...registry.blobs].filter(([, bytes]) => bytes[0] === 0x1f).at(-1) ?? []
  registry.intercept = (request) => {
    // The last blob never comes.
    return (request.url ?? '').endsWith(last ?? '')
  }
  const child = pull(`${registry.host}/app:1`)
  const closed = once(child, 'close')
  await expect.poll(async () => (await readdir(join(home.path, 'blobs/sha256'))).length, { timeout: 10_000 }).toBeGreaterThanOrEqual(3)
  await expect.poll(async () => (await readdir(store.layers)).length, { timeout: 10_000 }).toBe(2)
  child.kill('SIGKILL')
  await closed
  registry.intercept = () => false
  registry.seen.length = 0
  await pullImage(store, here('app:1'))
  expect(registry.seen.filter((line) => line.includes('/blobs/') && line.includes(last ?? ''))).toHaveLength(1)
  expect(registry.seen.filter((line) => line.includes('/blobs/') && registry.blobs.get(line.replace(/.*\//, ''))?.[0] === 0x1f)).toHaveLength(1)
  expect((await verifyStore(store)).problems).toEqual([])
})

test('eight processes that pull one image at once fetch every blob once', async () => {
  registry.intercept = (request, response) => {
    const bytes = registry.blobs.get((request.url ?? '').replace(/.*\//, ''))
    if (bytes?.[0] !== 0x1f) return false
    slowly(bytes, response, 400)
    return true
  }
  const digest = registry.add('app', '1', [base, layer('a', 500), layer('b', 500), layer('c', 200)])
  const outcomes = await Promise.all(Array.from({ length: 8 }, () => words(pull(`${registry.host}/app:1`))))
  expect(outcomes).toEqual(Array.from({ length: 8 }, () => ['begins', JSON.stringify({ digest })]))
  const layers = registry.seen.map((line) => line.replace(/.*\//, '')).filter((name) => registry.blobs.get(name)?.[0] === 0x1f)
  expect(layers).toHaveLength(4)
  expect(new Set(layers).size).toBe(4)
  expect(await verifyStore(store)).toMatchObject({ layers: 4, names: 1, problems: [] })
  await collectGarbage(store)
  expect(await leftovers()).toEqual([])
})

test('a registry that dies half-way is told, and another, or a later one, gives the image', { timeout: 60_000 }, async () => {
  const second = await fakeRegistry()
  try {
    const layers = [base, layer('a', 300)]
    for (const one of [registry, second]) one.add('library/app', '1', layers)
    process.env['MAYFLY_REGISTRY_MIRROR'] = `${registry.origin},off`
    registry.intercept = (request, response) => {
      const bytes = registry.blobs.get((request.url ?? '').replace(/.*\//, ''))
      if (bytes?.[0] !== 0x1f || bytes.length < 10_000) return false
      response.writeHead(200, { 'content-length': bytes.length })
      response.write(bytes.subarray(0, bytes.length / 2), () => { void registry.close() })
      return true
    }
    await expect(pullImage(store, parseReference('app:1'))).rejects.toMatchObject({ code: 'ERR_MAYFLY_REGISTRY_UNAVAILABLE' })
    expect(await leftovers()).toEqual(expect.not.arrayContaining([expect.stringMatching(/^(ingest|trash|leases)/)]))
    expect((await verifyStore(store)).problems).toEqual([])
    process.env['MAYFLY_REGISTRY_MIRROR'] = `${second.origin},off`
    const image = await pullImage(store, parseReference('app:1'))
    expect((await imageFile(image, 'of-a'))?.toString()).toBe('base')
    expect((await verifyStore(store)).problems).toEqual([])
  } finally {
    await second.close()
  }
})

describe.skipIf(process.geteuid?.() !== 0)('a disk that is full', () => {
  test.each([['of bytes', 'size=1m', { large: 4000 }], ['of inodes', 'nr_inodes=90', { files: 400 }]])('%s ends in an error, and what fits is pulled afterwards', async (_, limit, content) => {
    const large = 'large' in content ? layer('a', content.large)
      : tar([{ name: 'etc/', type: '5', mode: 0o755 }, ...Array.from({ length: content.files }, (__, index) => ({ name: `f${index}`, content: 'x' }))])
    registry.add('large', '1', [base, large])
    const digest = registry.add('small', '1', [base])
    const script = 'mount -t tmpfs -o "$1" tmpfs "$2" && shift 2 && exec "$@"'
    const child = spawn('unshare', ['--mount', 'sh', '-c', script, 'sh', limit, home.path, process.execPath, puller, `${registry.host}/large:1`, `${registry.host}/small:1`], {
      env: { ...process.env, MAYFLY_HOME: home.path }, stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [, first = '', then = ''] = await words(child)
    expect(JSON.parse(first)).toMatchObject({ code: 'ERR_MAYFLY_STORE_FAILED', hint: expect.stringContaining('full') as string })
    expect(JSON.parse(then)).toEqual({ second: { digest }, problems: [] })
  })
})

test('a blob that is damaged on the disk is found, and mended by the next pull', async () => {
  registry.add('app', '1', [base])
  await pullImage(store, here('app:1'))
  const [digest = ''] = [...registry.blobs].find(([, bytes]) => bytes[0] === 0x1f) ?? []
  await writeFile(join(home.path, 'blobs/sha256', digest.slice(7)), 'damaged')
  expect((await verifyStore(store)).problems).toEqual([{ kind: 'blob', what: digest, why: `its content has the digest ${sha256('damaged')}`, repaired: false }])
  expect((await verifyStore(store, { repair: true })).problems).toMatchObject([{ repaired: true }])
  expect((await verifyStore(store)).problems).toEqual([])
})

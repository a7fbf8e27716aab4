import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, watch } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { openStore, pullImage } from '../../packages/core/src/images/index.js'
import { privilege } from '../../packages/core/src/native/privilege.js'
import { parseReference } from '../../packages/core/src/reference.js'
import { fakeRegistry, type FakeRegistry } from '../../packages/core/test/images/fixture.js'
import { layer, makePuller, NOTHING, workingBelow, wrongWith } from './pulling.js'

/** How often a pull is killed; `npm test` spreads so many over all that it does. */
const KILLS = Number(process.env['MAYFLY_TEST_KILLS'] ?? 16)
let registry: FakeRegistry
let image: string
let digest: string
let directory: string

beforeAll(async () => {
  registry = await fakeRegistry()
  digest = registry.add('app', 'latest', [layer('a', { files: 40, size: 10_000 }), layer('b', { files: 5, size: 400_000 }), layer('c', { files: 1, size: 10 })])
  image = `${registry.host}/app`
})
afterAll(() => registry.close())
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'mayfly-pull-'))
  registry.seen.length = 0
})
afterEach(() => {
  registry.intercept = () => false
  rmSync(directory, { recursive: true, force: true, maxRetries: 10 })
})

/** Sends a blob in pieces, each when the one before has gone out. */
function inPieces(response: ServerResponse, bytes: Buffer, size: number, each: () => boolean): void {
  const send = (at: number): void => {
    if (at >= bytes.length) return void response.end()
    response.write(bytes.subarray(at, at + size), () => { if (each()) send(at + size) })
  }
  response.writeHead(200, { 'content-length': bytes.length })
  send(0)
}

function inodesOf(directory: string): string[] {
  return readdirSync(directory).filter((name) => name.startsWith('pull-')).map((name) => String(statSync(join(directory, name)).ino))
}

function blobOf(url = ''): Buffer | undefined {
  return url.includes('/blobs/') ? registry.blobs.get(url.replace(/.*\//, '')) : undefined
}

describe('kill -9', () => {
  /** Pulls, and calls at each thing that happens: a piece of a blob served, a name in the store coming or going. */
  async function pull(home: string, at: (event: number, kill: () => void) => void): Promise<string> {
    const puller = await makePuller(home, image)
    let events = 0
    const happened = (): boolean => (at(events += 1, () => { puller.kill() }), true)
    registry.intercept = (request, response) => {
      const bytes = blobOf(request.url)
      if (bytes === undefined) return false
      inPieces(response, bytes, 300_000, happened)
      return true
    }
    const { layers } = await openStore(home)
    const places = [layers, ...['', 'blobs/sha256', 'refs', 'ingest', 'leases', 'locks', 'trash'].map((name) => join(home, name))]
    const watchers = places.map((place) => watch(place, happened))
    try {
      return await puller.go()
    } finally {
      for (const one of watchers) one.close()
      registry.intercept = () => false
      // What it started ends when it sees its end.
      await expect.poll(() => workingBelow(home), { timeout: 10_000 }).toEqual([])
    }
  }

  test(`at ${String(KILLS)} points of a pull: the next one succeeds, and the store is whole`, { timeout: 300_000 }, async () => {
    let all = 0
    expect(await pull(join(directory, 'counted'), (event) => { all = event })).toBe(`digest ${digest}`)
    expect(all).toBeGreaterThan(20)
    const ends = new Set<string>()
    for (let round = 0; round < KILLS; round += 1) {
      const home = join(directory, String(round))
      const point = 1 + Math.floor((round * (all - 1)) / Math.max(1, KILLS - 1))
      const said = await pull(home, (event, kill) => { if (event === point) kill() })
      ends.add(said)
      expect(await (await makePuller(home, image)).go(), `killed at ${String(point)} of ${String(all)}`).toBe(`digest ${digest}`)
      expect(await wrongWith(home), `killed at ${String(point)} of ${String(all)}`).toEqual(NOTHING)
      rmSync(home, { recursive: true })
    }
    expect(ends).toContain('')
  })
})

describe('a full disk', () => {
  // A file system of its own, which nobody else sees, and which grows afterwards: what it says of its owner is an id that a user's namespace lacks.
  const inside = (home: string, script: string): string[] => [
    'unshare', '--mount', ...(privilege().mode === 'root' ? [] : ['--user', '--map-root-user']), 'sh', '-ec', script, home,
  ]

  test.each(['600k', '2m', '2500k'])('of %s: an error that says so, nothing left, and once there is room the same pull succeeds', { timeout: 60_000 }, async (size) => {
    const home = join(directory, 'home')
    await openStore(home)
    const script = `mount -t tmpfs -o size=${size},mode=700 tmpfs "$0"
      a=$(echo | "$@"); find "$0/ingest" "$0/trash" "$0/refs" "$0/leases" -mindepth 1; find "$0" -name '*.tmp'
      mount --options-mode ignore -o remount,size=64m tmpfs "$0"
      b=$(echo | "$@"); printf '%s\\n' "$a" "$b"`
    const said = (await (await makePuller(home, image, { before: inside(home, script) })).go()).split('\n').filter((line) => line !== 'begun')
    expect(said).toEqual(['ERR_MAYFLY_STORE_FAILED The disk is full. 0 problems', `digest ${digest}`])
  })
})

describe('a registry that dies half-way', () => {
  test('for good: an error that says so, and nothing left; when it is back, the same pull succeeds', { timeout: 60_000 }, async () => {
    const home = join(directory, 'home')
    registry.intercept = (request, response) => {
      const bytes = blobOf(request.url)
      if (bytes?.[0] !== 0x1f) return false
      if (request.headers.range !== undefined) return (response.destroy(), true)
      response.writeHead(200, { 'content-length': bytes.length })
      response.write(bytes.subarray(0, bytes.length / 2), () => response.destroy())
      return true
    }
    expect(await (await makePuller(home, image)).go()).toMatch(/^ERR_MAYFLY_REGISTRY_UNAVAILABLE /)
    const { layers } = await openStore(home)
    expect([layers, ...['ingest', 'refs', 'trash', 'blobs/sha256'].map((name) => join(home, name))].map((place) => readdirSync(place))).toEqual([[], [], [], [], []])
    registry.intercept = () => false
    expect(await (await makePuller(home, image)).go()).toBe(`digest ${digest}`)
    expect(await wrongWith(home)).toEqual(NOTHING)
  })
})

describe('processes that pull the same at once', () => {
  test.each([2, 8])('%d of them: every blob is fetched once, and all have the image', { timeout: 60_000 }, async (count) => {
    const home = join(directory, 'home')
    const pullers = await Promise.all(Array.from({ length: count }, () => makePuller(home, image, { policy: 'always' })))
    expect(await Promise.all(pullers.map((one) => one.go()))).toEqual(Array(count).fill(`digest ${digest}`))
    const layers = registry.seen.filter((line) => line.startsWith('GET') && blobOf(line)?.[0] === 0x1f)
    expect(layers).toHaveLength(3)
    expect(await wrongWith(home)).toEqual(NOTHING)
  })

  test('who waits for another\'s pull shows its layers, asks nobody, and has the image with it', { timeout: 60_000 }, async () => {
    const home = join(directory, 'home')
    const first = await makePuller(home, image)
    const others = await Promise.all([1, 2, 3].map(() => makePuller(home, image, { policy: 'always' })))
    let go = (): void => undefined
    const reached = new Promise<void>((resolve) => {
      registry.intercept = (request, response) => {
        const bytes = blobOf(request.url)
        if (bytes === undefined || bytes[0] !== 0x1f) return false
        const before = go
        go = () => {
          before()
          response.end(bytes)
        }
        resolve()
        return true
      }
    })
    const pulled = first.go()
    await reached
    const states = new Set<string>()
    const inside = pullImage(await openStore(home), parseReference(image), { policy: 'always', onProgress: ({ layers }) => { for (const { state } of layers) states.add(state) } })
    const waiting = others.map((one) => one.go())
    // Those who wait for a lock, as the kernel has them.
    await expect.poll(() => readFileSync('/proc/locks', 'utf8').split('\n').filter((line) => line.includes('-> FLOCK') && inodesOf(join(home, 'locks')).some((inode) => line.includes(`:${inode} `))).length, { timeout: 20_000 }).toBe(4)
    expect(states).toEqual(new Set(['waiting']))
    const asked = registry.seen.length
    registry.intercept = () => false
    go()
    expect(await Promise.all([pulled, ...waiting])).toEqual(Array(4).fill(`digest ${digest}`))
    expect((await inside).digest).toBe(digest)
    expect(states).toEqual(new Set(['waiting', 'there']))
    // What the first one had not asked for yet.
    expect(registry.seen.slice(asked).filter((line) => !line.includes('/blobs/'))).toEqual([])
    expect(await wrongWith(home)).toEqual(NOTHING)
  })

  test('one of them is killed while the others wait for it: they go on', { timeout: 60_000 }, async () => {
    const home = join(directory, 'home')
    const pullers = await Promise.all([1, 2, 3].map(() => makePuller(home, image)))
    let held: (() => void) | undefined
    const reached = new Promise<void>((resolve) => {
      registry.intercept = (request, response) => {
        const bytes = blobOf(request.url)
        if (bytes === undefined || bytes[0] !== 0x1f || held !== undefined) return false
        response.writeHead(200, { 'content-length': bytes.length })
        response.write(bytes.subarray(0, 100), () => { resolve() })
        held = () => { response.destroy() }
        return true
      }
    })
    const [first, ...others] = pullers
    const killed = first?.go()
    await reached
    const waiting = others.map((one) => one.go())
    first?.kill()
    expect(await killed).toBe('')
    expect(await Promise.all(waiting)).toEqual([`digest ${digest}`, `digest ${digest}`])
    expect(await wrongWith(home)).toEqual(NOTHING)
  })
})

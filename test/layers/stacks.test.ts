import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { openStore, pullImage } from '../../packages/core/src/images/index.js'
import { privilege } from '../../packages/core/src/native/privilege.js'
import { parseReference } from '../../packages/core/src/reference.js'
import { fakeRegistry, sha256, type FakeRegistry } from '../../packages/core/test/images/fixture.js'
import { described, stacks, tarOf, type Layer } from './stack.js'
import { directoryView, extractNaively, overlayView, type View } from './view.js'

const RUNS = Number(process.env['MAYFLY_TEST_STACKS'] ?? 20)
const root = privilege().mode === 'root'
let registry: FakeRegistry
let directory: string
let count = 0

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'mayfly-stacks-'))
  registry = await fakeRegistry()
})
afterAll(async () => {
  await registry.close()
  // Directories without any right, of other users.
  execFileSync(root ? 'rm' : 'unshare', root ? ['-rf', directory] : ['--user', '--map-root-user', '--map-auto', 'rm', '-rf', directory])
})

/** What a pull made of a stack. */
async function pulled(stack: readonly Layer[], place: string): Promise<View> {
  const name = `stack${String(count)}`
  registry.blobs.clear()
  registry.add(name, 'latest', stack.map(tarOf))
  const { layers } = await pullImage(await openStore(join(place, 'home')), parseReference(`${registry.host}/${name}`))
  return await overlayView(layers, place)
}

async function inPlace(work: (place: string) => Promise<void>): Promise<void> {
  const place = join(directory, String(count += 1))
  mkdirSync(place)
  await work(place)
}

test('a chain is what GNU tar makes of its layers, one after the other', { timeout: 120_000 }, async () => {
  await fc.assert(fc.asyncProperty(stacks({ devices: root }), (stack) => inPlace(async (place) => {
    const target = join(place, 'naive')
    mkdirSync(target)
    extractNaively(stack, target, place)
    expect(await pulled(stack, place), described(stack)).toEqual(await directoryView(target))
  })), { numRuns: RUNS, interruptAfterTimeLimit: 60_000 })
})

const umoci = (() => {
  try {
    execFileSync('umoci', ['--version'], { stdio: 'ignore' })
    return undefined
  } catch {
    return 'umoci is not installed'
  }
})()
const why = root ? umoci : 'umoci makes other owners for an ordinary user'
if (why !== undefined) process.stderr.write(`chains are not compared with umoci's: ${why}\n`)

test.skipIf(why !== undefined)('a chain is what umoci unpacks', { timeout: 120_000 }, async () => {
  await fc.assert(fc.asyncProperty(stacks({ devices: true }), (stack) => inPlace(async (place) => {
    const actual = await pulled(stack, place)
    const layout = join(place, 'layout')
    writeLayout(layout, `stack${String(count)}`)
    execFileSync('umoci', ['unpack', '--image', `${layout}:latest`, join(place, 'bundle')], { stdio: ['ignore', 'ignore', 'pipe'] })
    const theirs = await directoryView(join(place, 'bundle/rootfs'))
    // What an opaque mark hides it deletes when it comes to the mark, and leaves the directories it deletes from with the time of that.
    const times = stack.some(({ nodes }) => nodes.some(({ kind }) => kind === 'opaque')) ? withoutDirectoryTimes : (view: View) => view
    expect(times(actual), described(stack)).toEqual(times(theirs))
  })), { numRuns: RUNS, interruptAfterTimeLimit: 60_000 })
})

function withoutDirectoryTimes(view: View): View {
  return view.map((line) => line.replace(/ (directory \d+ \d+:\d+) \d+ /, ' $1 - '))
}

/** What the registry has, as a directory. [OCI image layout specification] */
function writeLayout(directory: string, name: string): void {
  mkdirSync(join(directory, 'blobs/sha256'), { recursive: true })
  const manifest = registry.manifests.get(`${name}/manifests/latest`) ?? Buffer.alloc(0)
  for (const bytes of [manifest, ...registry.blobs.values()]) writeFileSync(join(directory, 'blobs/sha256', sha256(bytes).slice(7)), bytes)
  writeFileSync(join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
  writeFileSync(join(directory, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [{
    mediaType: 'application/vnd.oci.image.manifest.v1+json', digest: sha256(manifest), size: manifest.length, annotations: { 'org.opencontainers.image.ref.name': 'latest' },
  }] }))
}

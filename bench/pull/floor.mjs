import { execFile } from 'node:child_process'
import { createReadStream, createWriteStream, mkdirSync } from 'node:fs'
import { request } from 'node:http'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import { createGunzip } from 'node:zlib'
import { onFreshFilesystem } from './filesystem.mjs'

const execute = promisify(execFile)

/** The layers of an image in a registry's storage, and as plain tars in `scratch`. */
export async function layersOf(registry, storage, image, scratch) {
  const [repository, tag] = image.split(':')
  const manifest = await (await fetch(`${registry.url}/v2/${repository}/manifests/${tag}`, { headers: { accept: 'application/vnd.oci.image.manifest.v1+json' } })).json()
  return await Promise.all(manifest.layers.map(async ({ digest, size }) => {
    const hex = digest.slice(7)
    const packed = join(storage, 'docker/registry/v2/blobs/sha256', hex.slice(0, 2), hex, 'data')
    const plain = join(scratch, `${hex}.tar`)
    await pipeline(createReadStream(packed), createGunzip(), createWriteStream(plain))
    return { url: `${registry.url}/v2/${repository}/blobs/${digest}`, packed, plain, size }
  }))
}

/**
 * What each part of a pull takes when nothing else is done: downloading, inflating (zlib), hashing what comes and what comes out of it,
 * extracting plain tars, as many layers at once as there are cores. Milliseconds each; the slowest is the floor.
 */
export async function floorOf(layers, scratch) {
  const largestFirst = [...layers].sort((a, b) => b.size - a.size)
  const timed = async (work, parts = largestFirst) => {
    const began = performance.now()
    await atOnce(parts.map((part) => () => work(part)))
    return performance.now() - began
  }
  const nowhere = () => new Writable({ highWaterMark: 1 << 20, write: (_, __, done) => done() })
  const download = await timed(({ url }) => new Promise((resolve, reject) => {
    request(url, (response) => void pipeline(response, nowhere()).then(resolve, reject)).once('error', reject).end()
  }))
  const inflate = await timed(({ packed }) => pipeline(createReadStream(packed, { highWaterMark: 1 << 20 }), createGunzip({ chunkSize: 1 << 18 }), nowhere()))
  const hash = await timed((file) => execute('openssl', ['dgst', '-sha256', file]), largestFirst.flatMap(({ packed, plain }) => [plain, packed]))
  const extract = await onFreshFilesystem(scratch, (directory) => timed(async ({ plain }) => {
    const target = join(directory, plain.replace(/.*\//, ''))
    mkdirSync(target)
    await execute('tar', ['-xpf', plain, '-C', target])
  }))
  return { download, inflate, hash, extract }
}

async function atOnce(jobs) {
  const left = [...jobs]
  await Promise.all(Array.from({ length: availableParallelism() }, async () => {
    for (let job = left.shift(); job !== undefined; job = left.shift()) await job()
  }))
}

import { execFileSync, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createWriteStream, existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { withLock } from '../../scripts/setup/lock.mjs'
import { imageCache } from '../../test/images/index.mjs'
import { readImage } from '../../test/images/stored.mjs'
import { startRegistry } from '../../test/images/registry.mjs'

const VERSION = '2'
export const IMAGES = { three: 'bench/postgres:three', twelve: 'bench/postgres:twelve' }

/**
 * A registry's storage with two images of 260 MB made of the test images' files: PostgreSQL on Debian, its server's layer filled up
 * with MariaDB's and RabbitMQ's, in three layers; and the same files in twelve. Made once, kept beside the test images.
 */
export async function pullStorage() {
  const postgres = readImage('postgres')
  const others = [readImage('mariadb'), readImage('rabbitmq')]
  const digests = [postgres, ...others].flatMap(({ manifest }) => manifest.layers).map(({ digest }) => digest)
  const storage = join(imageCache(), `registry-pull-${createHash('sha256').update(VERSION + digests.join()).digest('hex').slice(0, 16)}`)
  await withLock(join(imageCache(), 'lock'), async () => {
    if (existsSync(storage)) return void utimesSync(storage, new Date(), new Date())
    process.stderr.write('making the images to pull\n')
    const scratch = mkdtempSync(join(imageCache(), 'tmp-pull-'))
    try {
      await fill(join(scratch, 'storage'), scratch, postgres, others)
      renameSync(join(scratch, 'storage'), storage)
    } finally {
      rmSync(scratch, { recursive: true, force: true })
    }
  }, () => undefined)
  return storage
}

async function fill(storage, scratch, postgres, others) {
  const tree = join(scratch, 'tree')
  const extract = ({ blob }, { digest }) => {
    const file = join(scratch, 'extracted')
    writeFileSync(file, blob(digest))
    execFileSync('tar', ['-xzpf', file, '-C', tree, '--numeric-owner'])
  }
  const [base, ...above] = postgres.manifest.layers
  mkdirSync(tree)
  for (const layer of above) extract(postgres, layer)
  for (const other of others) for (const layer of other.manifest.layers.slice(1)) extract(other, layer)
  const own = (name) => /^usr(\/local(\/bin(\/|$)|$)|$)/.test(name)
  const middle = await pack(tree, filesOf(tree).filter((name) => !own(name) || name === 'usr'), scratch)
  const top = await pack(tree, filesOf(tree).filter(own), scratch)
  extract(postgres, base)
  const parts = split(tree, filesOf(tree).filter((name) => !/(^|\/)\.wh\./.test(name)), 12)
  const twelve = []
  for (let at = 0; at < parts.length; at += 2) twelve.push(...await Promise.all(parts.slice(at, at + 2).map((names) => pack(tree, names, scratch))))
  const file = join(scratch, 'base')
  writeFileSync(file, postgres.blob(base.digest))
  const lowest = { file, digest: base.digest, size: base.size, diffId: postgres.config.rootfs.diff_ids[0] }
  mkdirSync(storage)
  const registry = await startRegistry({ storage, writable: true })
  try {
    for (const [name, layers] of [[IMAGES.three, [lowest, middle, top]], [IMAGES.twelve, twelve]]) await push(registry.url, name, layers, postgres.config)
  } finally {
    await registry.close()
  }
}

/** All names below a directory, parents first. */
function filesOf(tree, below = '') {
  return readdirSync(join(tree, below), { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1)).flatMap((entry) => {
    const name = below === '' ? entry.name : `${below}/${entry.name}`
    return entry.isDirectory() ? [name, ...filesOf(tree, name)] : [name]
  })
}

/** Parts of about as many bytes, each with the directories that its files lie in, as builders write them. */
function split(tree, names, count) {
  const sizes = new Map(names.map((name) => [name, lstatSync(join(tree, name))]).map(([name, stat]) => [name, (stat.isFile() ? stat.size : 0) + 2048]))
  const parts = Array.from({ length: count }, () => new Set())
  let left = [...sizes.values()].reduce((sum, size) => sum + size, 0)
  let [at, taken] = [0, 0]
  for (const [name, size] of sizes) {
    // A file larger than a share leaves the parts behind it less, and none of them empty.
    if (at < count - 1 && taken >= left / (count - at)) [at, left, taken] = [at + 1, left - taken, 0]
    const steps = name.split('/')
    for (let depth = 1; depth <= steps.length; depth += 1) parts[at].add(steps.slice(0, depth).join('/'))
    taken += size
  }
  return parts.map((part) => [...part])
}

async function pack(tree, names, scratch) {
  const list = join(scratch, `list-${Math.random().toString(36).slice(2)}`)
  const file = `${list}.gz`
  writeFileSync(list, `${names.join('\0')}\0`)
  const tar = spawn('tar', ['-c', '--mtime=@1735689600', '--numeric-owner', '--format=gnu', '-C', tree, '--no-recursion', '--null', '--verbatim-files-from', '-T', list], { stdio: ['ignore', 'pipe', 'ignore'] })
  const ended = once(tar, 'close')
  const [plain, packed] = [createHash('sha256'), createHash('sha256')]
  const seen = (hash) => async function* (source) {
    for await (const chunk of source) {
      hash.update(chunk)
      yield chunk
    }
  }
  await pipeline(tar.stdout, seen(plain), createGzip({ level: 6 }), seen(packed), createWriteStream(file))
  const [code] = await ended
  if (code !== 0) throw new Error(`tar ended with ${code}`)
  return { file, digest: `sha256:${packed.digest('hex')}`, diffId: `sha256:${plain.digest('hex')}`, size: statSync(file).size }
}

async function push(url, name, layers, source) {
  const [repository, tag] = name.split(':')
  const config = Buffer.from(JSON.stringify({ ...source, history: [], rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) } }))
  const of = (bytes) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`
  for (const [digest, bytes] of [[of(config), config], ...layers.map((layer) => [layer.digest, readFileSync(layer.file)])]) {
    const opened = await fetch(`${url}/v2/${repository}/blobs/uploads/`, { method: 'POST' })
    const location = new URL(opened.headers.get('location'), url)
    location.searchParams.set('digest', digest)
    await put(location, 'application/octet-stream', bytes)
  }
  const type = (word) => `application/vnd.oci.image.${word}`
  await put(`${url}/v2/${repository}/manifests/${tag}`, type('manifest.v1+json'), JSON.stringify({
    schemaVersion: 2, mediaType: type('manifest.v1+json'), config: { mediaType: type('config.v1+json'), digest: of(config), size: config.length },
    layers: layers.map(({ digest, size }) => ({ mediaType: type('layer.v1.tar+gzip'), digest, size })),
  }))
}

async function put(url, type, body) {
  const answer = await fetch(url, { method: 'PUT', headers: { 'content-type': type }, body })
  if (answer.status !== 201) throw new Error(`PUT ${url} was answered with ${answer.status}: ${await answer.text()}`)
}

import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createWriteStream, lstatSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'

/** Every timestamp of every image, so that the same packages give the same digests. */
export const epoch = 1735689600

/**
 * Packs a directory as a gzip layer into an OCI layout's blobs. Sorted, one timestamp, no device nodes.
 * @param {string} directory
 * @param {string} blobs  …/blobs/sha256
 */
export async function packLayer(directory, blobs) {
  const temporary = join(blobs, `.layer-${process.pid}-${Math.random().toString(36).slice(2)}`)
  const tar = spawn('tar', [
    '--sort=name', `--mtime=@${epoch}`, '--numeric-owner', '--format=gnu',
    '--exclude=./dev/*', '--exclude=./proc/*', '--exclude=./sys/*', '-C', directory, '-c', '.',
  ], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = new Promise((resolve, reject) => {
    tar.once('error', reject)
    tar.once('close', (code) => (code === 0 ? resolve(undefined) : reject(new Error(`tar ended with ${code}`))))
  })
  const plain = hashing()
  const packed = hashing()
  await Promise.all([
    pipeline(tar.stdout, plain.stream, createGzip({ level: 6 }), packed.stream, createWriteStream(temporary)),
    ended,
  ])
  const hex = packed.hex()
  renameSync(temporary, join(blobs, hex))
  return { digest: `sha256:${hex}`, diffId: `sha256:${plain.hex()}`, size: statSync(join(blobs, hex)).size }
}

/** @param {string} blobs @param {unknown} document */
export function putJson(blobs, document) {
  const bytes = Buffer.from(JSON.stringify(document))
  const hex = createHash('sha256').update(bytes).digest('hex')
  writeFileSync(join(blobs, hex), bytes)
  return { digest: `sha256:${hex}`, size: bytes.length }
}

/**
 * Replaces the kernel's deletion marks in an overlay's upper directory by `.wh.` files. What is gone is told
 * by comparing, not by reading marks: that needs no xattrs, and covers directories made anew.
 * @param {string} upper @param {string} lower @param {string} merged
 */
export function writeWhiteouts(upper, lower, merged) {
  removeDevices(upper)
  const visit = (path) => {
    for (const entry of readdirSync(join(lower, path), { withFileTypes: true })) {
      const child = join(path, entry.name)
      const now = lstatSync(join(merged, child), { throwIfNoEntry: false })
      if (now === undefined) {
        if (isDirectory(join(upper, path))) writeFileSync(join(upper, path, `.wh.${entry.name}`), '')
      } else if (entry.isDirectory() && now.isDirectory() && isDirectory(join(upper, child))) visit(child)
    }
  }
  visit('.')
}

function removeDevices(directory) {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name)
    if (entry.isCharacterDevice() || entry.isBlockDevice()) rmSync(path)
    else if (entry.isDirectory()) removeDevices(path)
  }
}

function isDirectory(path) {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true
}

function hashing() {
  const hash = createHash('sha256')
  const stream = new Transform({
    highWaterMark: 1 << 20,
    transform(chunk, _encoding, done) {
      hash.update(chunk)
      done(null, chunk)
    },
  })
  return { stream, hex: () => hash.digest('hex') }
}

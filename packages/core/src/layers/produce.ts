import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { finished, pipeline } from 'node:stream/promises'
import { PassThrough, type Readable } from 'node:stream'
import { createGzip } from 'node:zlib'

import { digestFromHex, type Digest } from '../digest.js'
import { MayflyError } from '../errors.js'
import { nativeBinary } from '../native/binary.js'
import { enterWords, privilege } from '../native/privilege.js'

export interface LayerSource {
  /** The upper directory of a stopped container, or a whole tree. */
  readonly directory: string
  /** What it lies over, top first. Entries that are as they are there are left out. */
  readonly lowers: readonly string[]
  /** Paths without a leading slash that do not belong into it, such as mount points. */
  readonly skip?: readonly string[] | undefined
  /** Seconds since 1970: no time in it is later. */
  readonly latest?: number | undefined
}

export interface ProducedLayer {
  /** Digest of the tar. */
  readonly diffId: Digest
  /** Digest and bytes of its compressed form. */
  readonly digest: Digest
  readonly size: number
  /** Whether it has no entry at all. */
  readonly empty: boolean
  /** Directories that hide what the layers below have under their names. */
  readonly opaque: readonly string[]
}

/**
 * A directory as the tar of a layer: whiteouts only for what the layers below have, sorted, so that the same change gives
 * the same bytes. `done` answers its opaque directories. [OCI image specification, "Creating layers"]
 */
export function layerTar({ directory, lowers, skip = [], latest }: LayerSource): { readonly tar: Readable; readonly done: Promise<readonly string[]> } {
  const words = ['tar', '--layer', ...recordedOwners(), ...skip.flatMap(path => ['--skip', path]), ...(latest === undefined ? [] : ['--latest', String(latest)]), directory, ...lowers]
  const child = spawn(nativeBinary(), [...enterWords(), ...words], { stdio: ['ignore', 'pipe', 'pipe'] })
  let trouble = ''
  child.stderr.on('data', (chunk: Buffer) => void (trouble += chunk.toString()))
  const done = new Promise<readonly string[]>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => {
      if (code === 0) resolve([...trouble.matchAll(/^opaque (.*)$/gm)].map(([, path = '']) => path))
      else reject(new MayflyError('ERR_MAYFLY_STORE_FAILED', `${directory} cannot be made a layer: ${trouble.trim() || signal || `status ${String(code)}`}`))
    })
  })
  done.catch(() => undefined)
  return { tar: child.stdout, done }
}

/** Where one id owns every file, unpacking wrote down whose they are; elsewhere the files say so, and nothing else may. */
function recordedOwners(): string[] {
  const own = privilege()
  return own.mode === 'root' || own.map.lacking === undefined ? [] : ['--recorded-owners']
}

/** Bytes of a tar that has nothing in it. */
const NOTHING = 1024

/** Writes a directory as a compressed layer. The file is whole, or there is an error. */
export async function produceLayer(source: LayerSource, file: string): Promise<ProducedLayer> {
  const { tar, done } = layerTar(source)
  const plain = createHash('sha256')
  const compressed = createHash('sha256')
  let [bytes, size] = [0, 0]
  const counted = new PassThrough({ highWaterMark: 1 << 20 })
  tar.on('data', (chunk: Buffer) => {
    plain.update(chunk)
    bytes += chunk.length
  })
  const written = new PassThrough({ highWaterMark: 1 << 20 })
  written.on('data', (chunk: Buffer) => {
    compressed.update(chunk)
    size += chunk.length
  })
  // Quick rather than small: what is pushed is read by few, what is built is waited for.
  const zip = createGzip({ level: 1, chunkSize: 256 * 1024 })
  const target = createWriteStream(file, { flags: 'wx', mode: 0o600 })
  const [, opaque] = await Promise.all([pipeline(tar, counted, zip, written, target), done])
  await finished(target).catch(() => undefined)
  return { diffId: digestFromHex(plain.digest('hex')), digest: digestFromHex(compressed.digest('hex')), size, empty: bytes === NOTHING, opaque }
}

/** The digest of a layer's tar, nothing being written. */
export async function layerDiffId(source: LayerSource): Promise<{ readonly diffId: Digest; readonly empty: boolean }> {
  const { tar, done } = layerTar(source)
  const hash = createHash('sha256')
  let bytes = 0
  for await (const chunk of tar as AsyncIterable<Buffer>) {
    hash.update(chunk)
    bytes += chunk.length
  }
  await done
  return { diffId: digestFromHex(hash.digest('hex')), empty: bytes === NOTHING }
}

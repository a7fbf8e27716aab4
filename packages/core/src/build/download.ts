import { createHash } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { mkdir, stat } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'

import { MayflyError } from '../errors.js'
import type { Build } from './builder.js'

/** What ADD fetches from the network, into this build's own place. Throws ERR_MAYFLY_BUILD_FAILED. */
export async function download(build: Build, url: string, checksum: string | undefined): Promise<{ file: string; size: number; mtime: number; name: string }> {
  const file = `${build.place()}.download`
  await mkdir(dirname(file), { recursive: true })
  const answer = await fetch(url, { signal: build.signal }).catch((cause: unknown) => {
    throw new MayflyError('ERR_MAYFLY_BUILD_FAILED', `ADD cannot fetch ${url}`, { cause })
  })
  if (!answer.ok || answer.body === null) throw new MayflyError('ERR_MAYFLY_BUILD_FAILED', `ADD ${url}: the server answered ${String(answer.status)}`)
  const hash = createHash('sha256')
  const digest = new Transform({
    transform: (chunk: Buffer, _, done) => {
      hash.update(chunk)
      done(null, chunk)
    },
  })
  await pipeline(Readable.fromWeb(answer.body as never), digest, createWriteStream(file, { flags: 'wx', mode: 0o600 }))
  const actual = `sha256:${hash.digest('hex')}`
  if (checksum !== undefined && checksum !== actual) {
    throw new MayflyError('ERR_MAYFLY_DIGEST_MISMATCH', `ADD ${url}: its checksum is ${actual}, not ${checksum}`)
  }
  const modified = Date.parse(answer.headers.get('last-modified') ?? '')
  const name = basename(decodeURIComponent(new URL(url).pathname)) || 'index'
  return { file, size: (await stat(file)).size, mtime: Number.isNaN(modified) ? 0 : modified, name }
}

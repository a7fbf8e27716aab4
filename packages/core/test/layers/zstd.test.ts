import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { digestOf } from '../../src/digest.js'
import { unpackLayer, zstdDecompressor } from '../../src/layers/index.js'
import { archive } from '../../../native/test/archive.js'

// Of a tar with one file `hello`, made by zstd 1.5.4 -19 with a checksum.
const SAMPLE = Buffer.from('KLUv/WQAB4UCAPLDDBGg7QD8I35D/w+0yy1VKmJYCgYowqnNPaX+/U6E0leTIh7u/2RJ2WHui//eLf9vx1haAQkA7Lk/BwgBSEAB2CCAQDoDNx0XWTCcnUARMTBt7w==', 'base64')
const plain = archive({ name: 'hello', data: 'hello from zstd\n' })
let directory: string
let before: string | undefined

const missing = (() => {
  try {
    execFileSync('zstd', ['--version'], { stdio: 'ignore' })
    return undefined
  } catch {
    return 'zstd is not installed'
  }
})()
if (missing !== undefined) process.stderr.write(`what zstd makes is not compared: ${missing}\n`)

beforeEach(() => {
  before = process.env['MAYFLY_NATIVE_OFF']
  directory = mkdtempSync(join(tmpdir(), 'mayfly-zstd-'))
})
afterEach(() => {
  if (before === undefined) delete process.env['MAYFLY_NATIVE_OFF']
  else process.env['MAYFLY_NATIVE_OFF'] = before
  rmSync(directory, { recursive: true })
})

/** `off`: `zstd` for the decompressor in JavaScript even where Node has one. */
async function inflated(bytes: Buffer, off: string): Promise<Buffer> {
  process.env['MAYFLY_NATIVE_OFF'] = off
  const stream = await zstdDecompressor()
  const [out] = await Promise.all([buffer(stream), pipeline(Readable.from(pieces(bytes)), stream)])
  return out
}

/** In pieces that fit nothing. */
function* pieces(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += 7001) yield bytes.subarray(at, at + 7001)
}

function unpack(bytes: Buffer, diffId = digestOf(plain)): ReturnType<typeof unpackLayer> {
  return unpackLayer({ source: Readable.from(pieces(bytes)) as AsyncIterable<Buffer>, directory, digest: digestOf(bytes), diffId, size: bytes.length })
}

test.each(['', 'zstd'])('a layer is unpacked (MAYFLY_NATIVE_OFF=%s)', async (off) => {
  process.env['MAYFLY_NATIVE_OFF'] = off
  await unpack(SAMPLE)
  expect(readFileSync(join(directory, 'hello'), 'utf8')).toBe('hello from zstd\n')
})

test.each(['', 'zstd'])('a layer that is damaged or cut off is refused (MAYFLY_NATIVE_OFF=%s)', async (off) => {
  process.env['MAYFLY_NATIVE_OFF'] = off
  await expect(unpack(SAMPLE.subarray(0, -30))).rejects.toMatchObject({ code: expect.stringMatching(/LAYER_INVALID|DIGEST_MISMATCH/) as string })
})

test.skipIf(missing !== undefined)('what zstd makes comes out again: levels, several frames, none at all, and bytes between frames that mean nothing', { timeout: 60_000 }, async () => {
  const compress = (bytes: Buffer, level: number, check: boolean): Buffer => execFileSync('zstd', ['-q', '-c', `-${String(level)}`, ...(check ? ['--check'] : ['--no-check'])], { input: bytes, maxBuffer: 2 ** 26 })
  const skippable = Buffer.concat([Buffer.from([0x50, 0x2a, 0x4d, 0x18, 5, 0, 0, 0]), Buffer.from('other')])
  const piece = fc.record({ words: fc.array(fc.constantFrom('mayfly', '\0'.repeat(3000), 'x', 'words of a text ', randomBytes(500).toString('latin1')), { maxLength: 400 }), level: fc.constantFrom(1, 3, 9, 19), check: fc.boolean(), skip: fc.boolean() })
  await fc.assert(fc.asyncProperty(fc.array(piece, { minLength: 1, maxLength: 4 }), async (frames) => {
    const plains = frames.map(({ words }) => Buffer.from(words.join(''), 'latin1'))
    const packed = Buffer.concat(frames.flatMap(({ level, check, skip }, at) => [compress(plains[at] ?? Buffer.alloc(0), level, check), ...(skip ? [skippable] : [])]))
    expect((await inflated(packed, 'zstd')).equals(Buffer.concat(plains))).toBe(true)
  }), { numRuns: 25 })
})

test.skipIf(missing !== undefined)('a bomb is refused before it is in memory', { timeout: 30_000 }, async () => {
  process.env['MAYFLY_NATIVE_OFF'] = 'zstd'
  process.env['MAYFLY_LAYER_MAX_SIZE'] = '64m'
  try {
    const bomb = execFileSync('sh', ['-c', 'head -c 1G /dev/zero | zstd -q -c -1'], { maxBuffer: 2 ** 26 })
    expect(bomb.length).toBeLessThan(2 ** 17)
    const most = process.memoryUsage().rss + 300 * 2 ** 20
    await expect(unpack(bomb)).rejects.toMatchObject({ code: 'ERR_MAYFLY_LAYER_INVALID' })
    expect(process.memoryUsage().rss).toBeLessThan(most)
  } finally {
    delete process.env['MAYFLY_LAYER_MAX_SIZE']
  }
})

import { createHash, randomBytes } from 'node:crypto'
import { chmodSync, mkdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { spawnSync } from 'node:child_process'
import { gunzipSync } from 'node:zlib'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, it } from 'vitest'

import { nativeBinary } from '../index.js'
import { sandbox, type Sandbox } from './sandbox.js'

let box: Sandbox
beforeEach(() => { box = sandbox() })
afterEach(() => { box.remove() })

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

let last = 0

/** The tar of a directory with one file, as it is and compressed. */
function packed(content: Buffer, words: readonly string[] = []): { readonly plain: Buffer; readonly zip: Buffer; readonly said: string; readonly status: number | null; readonly trouble: string } {
  last += 1
  const at = join(box.layer, String(last))
  mkdirSync(at)
  writeFileSync(join(at, 'file'), content)
  const plain = spawnSync(nativeBinary(), ['tar', '--layer', at], { maxBuffer: 2 ** 27 }).stdout
  const { status, stdout, stderr } = spawnSync(nativeBinary(), ['tar', '--layer', '--gzip', `${at}.gz`, ...words, at], { encoding: 'utf8' })
  const zip = readFileSync(`${at}.gz`)
  for (const path of [at, `${at}.gz`]) rmSync(path, { recursive: true })
  return { plain, zip, said: stdout, status, trouble: stderr }
}

/** Bytes with repetitions, near and far, among bytes without. */
const contents = fc.array(fc.oneof(
  fc.uint8Array({ minLength: 1, maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
  fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 20 }), fc.integer({ min: 1, max: 3000 })).map(([bytes, times]) => Buffer.concat(Array.from({ length: times }, () => Buffer.from(bytes)))),
  fc.integer({ min: 1, max: 90_000 }).map((length) => randomBytes(length)),
), { maxLength: 12 }).map((parts) => Buffer.concat([...parts, ...parts.slice(0, 3)]))

it('gives back what went in, and says of both what they are', () => {
  fc.assert(fc.property(contents, (content) => {
    const { plain, zip, said, status } = packed(content)
    expect(status).toBe(0)
    expect(gunzipSync(zip).equals(plain)).toBe(true)
    expect(said).toBe(`gzip ${sha256(zip)} ${String(zip.length)}\nplain ${sha256(plain)} ${String(plain.length)}\nfiles ${String(content.length)}\n`)
  }), { numRuns: 60 })
})

it('whatever the bytes are: none, one over and over, all of them once, none twice, whole blocks', () => {
  const all = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
  const far = randomBytes(32768)
  // Codes of every length: each byte half as often as the one before it.
  const skewed = Buffer.concat(Array.from({ length: 18 }, (_, nth) => Buffer.alloc(2 ** nth, nth)))
  for (const content of [Buffer.alloc(0), Buffer.alloc(1_000_000), all, randomBytes(300_000), Buffer.concat([far, far, far.subarray(1)]), skewed, Buffer.alloc(2 ** 18 - 1536, 'x'), Buffer.alloc(2 ** 19 - 1536, 'xy')]) {
    const { plain, zip } = packed(content)
    expect(gunzipSync(zip).equals(plain)).toBe(true)
    expect(zip.length).toBeLessThan(plain.length + plain.length / 1000 + 100)
  }
})

it('gives these bytes and no others, on every machine', () => {
  const text = Buffer.from(Array.from({ length: 20_000 }, (_, nth) => `${String(nth * 7919 % 1009)} ${nth % 3 === 0 ? 'and' : 'or'} `).join(''))
  mkdirSync(join(box.layer, 'd'))
  writeFileSync(join(box.layer, 'd', 'f'), text)
  const target = join(box.layer, 'z.gz')
  // Times and rights are not the compressor's.
  utimesSync(join(box.layer, 'd', 'f'), 0, 0)
  chmodSync(join(box.layer, 'd', 'f'), 0o644)
  const { status } = spawnSync(nativeBinary(), ['tar', '--layer', '--gzip', target, join(box.layer, 'd')])
  expect(status).toBe(0)
  const zip = readFileSync(target)
  const mine = process.geteuid?.() === 0
  if (!mine) return void process.stderr.write('not compared: the file is not root\'s\n')
  expect([zip.length, sha256(zip)]).toEqual([13_459, '235b6dc3d239586baa1c3b4c844f7eb93c0ccd169683c2d183b59020a0be05a1'])
})

it('a file that is there already is nobody\'s to write to', () => {
  const target = join(box.layer, 'there.gz')
  writeFileSync(target, 'there')
  mkdirSync(join(box.layer, 'd'))
  const { status, stderr } = spawnSync(nativeBinary(), ['tar', '--layer', '--gzip', target, join(box.layer, 'd')], { encoding: 'utf8' })
  expect([status, stderr]).toEqual([1, expect.stringContaining('open: EEXIST')])
  expect(readFileSync(target, 'utf8')).toBe('there')
})

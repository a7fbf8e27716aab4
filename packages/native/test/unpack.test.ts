import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { spawnSync } from 'node:child_process'
import { constants, deflateRawSync, gzipSync, inflateRawSync } from 'node:zlib'

import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

import { nativeBinary } from '../index.js'
import { archive } from './archive.js'
import { sandbox, type Sandbox } from './sandbox.js'

let box: Sandbox
beforeEach(() => { box = sandbox() })
afterEach(() => { box.remove() })

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

interface Unpacked {
  readonly status: number | null
  readonly err: string
  readonly digest: string | undefined
  readonly plain: string | undefined
}

function unpack(input: Buffer, words: readonly string[] = [], env: Readonly<Record<string, string>> = {}): Unpacked {
  const fresh = sandbox()
  const { status, stdout, stderr } = spawnSync(nativeBinary(), ['unpack', ...words, fresh.layer], { input, encoding: 'utf8', env: { ...process.env, ...env } })
  fresh.remove()
  const line = (word: string): string | undefined => new RegExp(`^${word} ([0-9a-f]{64})$`, 'm').exec(stdout)?.[1]
  return { status, err: stderr, digest: line('digest'), plain: line('plain') }
}

/** After two empty blocks a tar has ended, and whatever follows is only hashed. */
const END = Buffer.alloc(1024)
const HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3])
const TRAILER = Buffer.alloc(8)

describe('hashes', () => {
  // FIPS 180-4's examples, and what lies around the length of a block.
  const known: Readonly<Record<string, Buffer>> = {
    e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855: Buffer.alloc(0),
    ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad: Buffer.from('abc'),
    '248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1': Buffer.from('abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq'),
    cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0: Buffer.alloc(1_000_000, 'a'),
  }
  for (const off of ['', 'sha256']) {
    it(`are those of FIPS 180-4${off === '' ? '' : ', without the instructions for them'}`, () => {
      for (const [hex, bytes] of Object.entries(known)) expect(unpack(bytes, [], { MAYFLY_NATIVE_OFF: off }).digest).toBe(hex)
      for (const length of [1, 55, 56, 63, 64, 65, 119, 120, 127, 128, 129, 262_143, 262_145]) {
        const bytes = Buffer.alloc(length, length)
        expect(unpack(bytes, [], { MAYFLY_NATIVE_OFF: off }).digest).toBe(sha256(bytes))
      }
    })
  }
})

describe('a layer as a registry serves it', () => {
  it.each(['', 'bmi2'])('is inflated whatever deflate made of it, hashed before and after, and kept as it came (without: %s)', (off) => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 5000 }),
      fc.tuple(fc.uint8Array({ maxLength: 40, minLength: 1 }), fc.integer({ min: 1, max: 20_000 }))
        .map(([piece, times]) => Uint8Array.from({ length: Math.min(piece.length * times, 400_000) }, (_, i) => piece[i % piece.length] ?? 0)),
    )
    const { Z_DEFAULT_STRATEGY, Z_FIXED, Z_HUFFMAN_ONLY, Z_RLE, Z_FILTERED } = constants
    fc.assert(fc.property(
      fc.array(bytes, { maxLength: 4 }), fc.integer({ min: 0, max: 9 }),
      fc.constantFrom(Z_DEFAULT_STRATEGY, Z_FIXED, Z_HUFFMAN_ONLY, Z_RLE, Z_FILTERED),
      (pieces, level, strategy) => {
        const plain = [END, ...pieces.map((piece) => Buffer.from(piece))]
        const input = Buffer.concat(plain.map((piece) => gzipSync(piece, { level, strategy })))
        expect(unpack(input, [], { MAYFLY_NATIVE_OFF: off })).toEqual({ status: 0, err: '', digest: sha256(input), plain: sha256(Buffer.concat(plain)) })
      },
    ), { numRuns: 50 })
  })

  it('is unpacked and kept; a plain one, too', () => {
    const tar = archive({ name: 'file', data: Buffer.alloc(700_000, 'mayfly') }, { name: 'other', data: 'x' })
    for (const [index, input] of [gzipSync(tar), tar].entries()) {
      const own = sandbox()
      const keep = join(box.root, `blob${index}`)
      expect(spawnSync(nativeBinary(), ['unpack', '--keep', keep, own.layer], { input }).status).toBe(0)
      expect(readFileSync(join(own.layer, 'file')).equals(Buffer.alloc(700_000, 'mayfly'))).toBe(true)
      expect(readFileSync(keep).equals(input)).toBe(true)
      own.remove()
    }
  })

  it('may have a header with everything, and bytes behind the last member', () => {
    const deflated = deflateRawSync(END)
    const header = Buffer.from([0x1f, 0x8b, 8, 0x1e, 0, 0, 0, 0, 0, 3, 3, 0, 1, 2, 3, ...Buffer.from('name\0comment\0'), 9, 9])
    for (const behind of [Buffer.alloc(700_000), Buffer.from('rubbish'), Buffer.from([0x1f])]) {
      const input = Buffer.concat([header, deflated, TRAILER, behind])
      expect(unpack(input)).toEqual({ status: 0, err: '', digest: sha256(input), plain: sha256(END) })
    }
  })

  it('is refused where zlib refuses it, and never reads beyond its end', () => {
    const mutation = fc.tuple(fc.nat(), fc.nat(255))
    let refused = 0
    fc.assert(fc.property(
      fc.uint8Array({ maxLength: 300 }), fc.integer({ min: 1, max: 400 }), fc.array(mutation, { maxLength: 3 }), fc.constantFrom(constants.Z_FIXED, constants.Z_DEFAULT_STRATEGY),
      (piece, times, mutations, strategy) => {
        const stream = deflateRawSync(Buffer.concat(Array.from({ length: times }, () => piece)), { strategy })
        for (const [place, value] of mutations) stream[place % stream.length] = value
        // The end of the archive, stored, in front of it.
        const deflated = Buffer.concat([Buffer.from([0, 0, 4, 0xff, 0xfb]), END, stream, TRAILER])
        const { status, err, plain, digest } = unpack(Buffer.concat([HEADER, deflated, TRAILER]))
        const expected = inflated(deflated)
        expect(digest).toBe(sha256(Buffer.concat([HEADER, deflated, TRAILER])))
        if (expected === 'cut off') return
        if (expected === undefined) refused += 1
        expect({ status, plain }).toEqual(expected === undefined ? { status: 1, plain: undefined } : { status: 0, plain: sha256(expected) })
        expect(err).toMatch(expected === undefined ? /^untar -: inflate: the compressed data are (damaged|cut off)\n$/ : /^$/)
      },
    ), { numRuns: 250 })
    expect(refused).toBeGreaterThan(20)
  })

  it('is refused wherever it is cut off, and its digest is told all the same', () => {
    const whole = gzipSync(archive({ name: 'file', data: Buffer.from(Array.from({ length: 600 }, (_, i) => (i * i) % 251)) }))
    for (let length = 2; length < whole.length; length += 7) {
      const input = whole.subarray(0, length)
      expect(unpack(input)).toMatchObject({ status: 1, digest: sha256(input), plain: undefined })
    }
  })

  it('is told by its digest even when its archive is refused, or is larger than allowed', () => {
    const evil = gzipSync(archive({ name: '../evil', data: Buffer.alloc(3_000_000) }))
    expect(unpack(evil)).toMatchObject({ status: 1, digest: sha256(evil), err: 'untar ../evil: a name with ..\n' })
    const bomb = gzipSync(Buffer.concat([END, Buffer.alloc(50_000_000)]))
    expect(unpack(bomb, ['--max-plain', '10000000'])).toMatchObject({ status: 1, digest: sha256(bomb), err: 'untar -: inflate: the layer is larger than allowed\n' })
  })

  it('does not replace a blob', () => {
    const keep = join(box.root, 'blob')
    writeFileSync(keep, 'old')
    expect(unpack(gzipSync(END), ['--keep', keep])).toMatchObject({ status: 1, err: 'untar -: open of the blob: EEXIST\n' })
    expect(readFileSync(keep, 'utf8')).toBe('old')
  })
})

function inflated(stream: Buffer): Buffer | 'cut off' | undefined {
  try {
    return inflateRawSync(stream)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'Z_BUF_ERROR' ? 'cut off' : undefined
  }
}

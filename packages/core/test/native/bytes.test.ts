import fc from 'fast-check'
import { expect, test } from 'vitest'

import { Reader, Writer } from '../../src/native/bytes.js'

const text = fc.string({ unit: 'binary', maxLength: 2000 }).filter((value) => !value.includes('\0'))

test('what was written is read back, also beyond the first buffer', () => {
  fc.assert(fc.property(
    fc.nat(0xff), fc.nat(0xffff), fc.integer({ min: 0, max: 0xffffffff }), fc.integer(), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    fc.array(text, { maxLength: 5 }), fc.uint8Array({ maxLength: 2000 }),
    (u8, u16, u32, i32, u64, strings, bytes) => {
      const writer = new Writer(16)
      writer.u8(u8).u16(u16).u32(u32).i32(i32).u64(u64).list(strings, (one) => writer.str(one)).bytes(bytes)
      const reader = new Reader(writer.take())
      expect([reader.u8(), reader.u16(), reader.u32(), reader.i32(), reader.u64()]).toEqual([u8, u16, u32, i32, u64])
      expect(reader.list(() => reader.str())).toEqual(strings.map((one) => Buffer.from(one).toString('utf8')))
      expect(Buffer.compare(reader.bytes(), bytes)).toBe(0)
      expect(reader.left).toBe(0)
    },
  ))
})

test('text with NUL is refused, since the native program would cut it', () => {
  expect(() => new Writer().str('a\0b')).toThrow(RangeError)
})

test('reading past the end is an error, whatever the bytes', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
    const reader = new Reader(Buffer.from(bytes))
    expect(() => {
      for (;;) reader.str()
    }).toThrow(RangeError)
  }))
})

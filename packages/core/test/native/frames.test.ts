import fc from 'fast-check'
import { expect, test } from 'vitest'

import { encodeFrame, FrameSplitter, LONGEST_PAYLOAD, type Frame } from '../../src/native/frames.js'

const frame = fc.record({
  kind: fc.integer({ min: 1, max: 7 }),
  id: fc.integer({ min: 0, max: 0xffffffff }),
  payload: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
})

test('frames survive any way of cutting the byte stream', () => {
  fc.assert(fc.property(fc.array(frame, { maxLength: 12 }), fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1 }), (sent, cuts) => {
    const bytes = Buffer.concat(sent.map(({ kind, id, payload }) => encodeFrame(kind, id, payload)))
    const splitter = new FrameSplitter()
    const received: Frame[] = []
    for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
      const size = cuts[turn % cuts.length] ?? 1
      received.push(...splitter.push(bytes.subarray(at, at + size)))
      at += size
    }
    expect(received.map(({ kind, id, payload }) => ({ kind, id, payload: payload.toString('hex') })))
      .toEqual(sent.map(({ kind, id, payload }) => ({ kind, id, payload: payload.toString('hex') })))
  }))
})

test('a length above 4 MiB is refused at once, not waited for', () => {
  const header = Buffer.alloc(9)
  header.writeUInt32LE(LONGEST_PAYLOAD + 1, 0)
  expect(() => new FrameSplitter().push(header)).toThrow(RangeError)
  expect(() => encodeFrame(1, 1, new Uint8Array(LONGEST_PAYLOAD + 1))).toThrow(RangeError)
})

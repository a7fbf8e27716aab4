/** What a frame is; the numbers are the wire's. */
export const KIND = { request: 1, reply: 2, error: 3, event: 4, data: 5, end: 6, credit: 7 } as const

export interface Frame {
  readonly kind: number
  readonly id: number
  readonly payload: Buffer
}

const HEADER = 9
export const LONGEST_PAYLOAD = 4 * 2 ** 20

/** A request's frame: its number, then its fields. */
export function encodeRequest(id: number, method: number, fields: Uint8Array | undefined): Buffer {
  const length = 2 + (fields?.length ?? 0)
  const frame = framed(KIND.request, id, length)
  frame.writeUInt16LE(method, HEADER)
  if (fields !== undefined) frame.set(fields, HEADER + 2)
  return frame
}

export function encodeFrame(kind: number, id: number, payload: Uint8Array): Buffer {
  const frame = framed(kind, id, payload.length)
  frame.set(payload, HEADER)
  return frame
}

function framed(kind: number, id: number, length: number): Buffer {
  if (length > LONGEST_PAYLOAD) throw new RangeError(`A frame of ${length} bytes`)
  const frame = Buffer.allocUnsafe(HEADER + length)
  frame.writeUInt32LE(length, 0)
  frame.writeUInt8(kind, 4)
  frame.writeUInt32LE(id, 5)
  return frame
}

/** Cuts a byte stream into frames, whatever the pieces it comes in. Throws RangeError for an impossible length. */
export class FrameSplitter {
  #rest: Buffer[] = []
  #length = 0

  push(chunk: Buffer): Frame[] {
    this.#rest.push(chunk)
    this.#length += chunk.length
    // Joined once per frame that is complete, so that a large frame in small pieces costs one copy.
    if (this.#length < this.#wanted()) return []
    const bytes = this.#rest.length === 1 ? chunk : Buffer.concat(this.#rest, this.#length)
    const frames: Frame[] = []
    let at = 0
    while (bytes.length - at >= HEADER) {
      const length = payloadLength(bytes, at)
      if (bytes.length - at - HEADER < length) break
      frames.push({
        kind: bytes.readUInt8(at + 4),
        id: bytes.readUInt32LE(at + 5),
        payload: bytes.subarray(at + HEADER, at + HEADER + length),
      })
      at += HEADER + length
    }
    this.#rest = at === bytes.length ? [] : [bytes.subarray(at)]
    this.#length = bytes.length - at
    return frames
  }

  #wanted(): number {
    if (this.#length < HEADER) return HEADER
    const first = this.#rest[0]
    if (first === undefined || first.length < HEADER) return HEADER
    return HEADER + payloadLength(first, 0)
  }
}

function payloadLength(bytes: Buffer, at: number): number {
  const length = bytes.readUInt32LE(at)
  if (length > LONGEST_PAYLOAD) throw new RangeError(`A frame announces ${length} bytes`)
  return length
}

/** A batch of records as the log has it. [Kafka protocol guide, Record Batch, version 2] */
interface Batch {
  readonly bytes: Buffer
  readonly last: bigint
  readonly producer: bigint
  readonly transactional: boolean
  readonly control: boolean
}

export interface AbortedTransaction {
  readonly producer: bigint
  readonly first: bigint
}

/** Whole batches among fetched bytes; the last one may have been cut off. */
function batchesOf(bytes: Buffer): readonly Batch[] {
  const batches: Batch[] = []
  for (let at = 0; at + HEAD <= bytes.length;) {
    const end = at + 12 + bytes.readInt32BE(at + 8)
    if (end > bytes.length) break
    const batch = bytes.subarray(at, end)
    const attributes = batch.readInt16BE(21)
    batches.push({
      bytes: batch, last: batch.readBigInt64BE(0) + BigInt(batch.readInt32BE(23)), producer: batch.readBigInt64BE(43),
      transactional: (attributes & TRANSACTIONAL) !== 0, control: (attributes & CONTROL) !== 0,
    })
    at = end
  }
  return batches
}

/** Of fetched bytes what somebody may read, ready to be sent again; and where to go on. */
export function readable(bytes: Buffer, aborted: readonly AbortedTransaction[]): { readonly batches: readonly Buffer[]; readonly next: bigint | undefined } {
  const waiting = [...aborted]
  const ended = new Set<bigint>()
  const kept: Buffer[] = []
  const batches = batchesOf(bytes)
  for (const { bytes: batch, last, producer, transactional, control } of batches) {
    for (const one of waiting.filter(({ first }) => first <= last)) {
      waiting.splice(waiting.indexOf(one), 1)
      ended.add(one.producer)
    }
    if (control) ended.delete(producer)
    else if (!transactional || !ended.has(producer)) kept.push(sealed(batch))
  }
  const end = batches.at(-1)
  return { batches: kept, next: end === undefined ? undefined : end.last + 1n }
}

/** The same records as nobody in particular sends them: outside of a transaction, without a place in the log. */
function sealed(batch: Buffer): Buffer {
  const copy = Buffer.from(batch)
  copy.writeBigInt64BE(0n, 0)
  copy.writeInt32BE(-1, 12)
  copy.writeInt16BE(copy.readInt16BE(21) & ~(TRANSACTIONAL | APPEND_TIME), 21)
  copy.writeBigInt64BE(-1n, 43)
  copy.writeInt16BE(-1, 51)
  copy.writeInt32BE(-1, 53)
  copy.writeUInt32BE(crc32c(copy.subarray(21)), 17)
  return copy
}

const HEAD = 61
const APPEND_TIME = 0x08
const TRANSACTIONAL = 0x10
const CONTROL = 0x20

/** Castagnoli's. [RFC 3720, appendix B.4] */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff
  for (const byte of bytes) crc = (crc >>> 8) ^ (TABLE[(crc ^ byte) & 0xff] ?? 0)
  return (crc ^ 0xffffffff) >>> 0
}

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte
  for (let bit = 0; bit < 8; bit += 1) value = (value & 1) === 0 ? value >>> 1 : (value >>> 1) ^ 0x82f63b78
  return value
})

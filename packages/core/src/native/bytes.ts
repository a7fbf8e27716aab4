/** Appends packed little-endian values to a growing buffer. */
export class Writer {
  #buffer: Buffer
  #length = 0

  constructor(room = 512) {
    this.#buffer = Buffer.allocUnsafe(room)
  }

  u8(value: number): this {
    const at = this.#room(1)
    this.#buffer.writeUInt8(value, at)
    return this
  }

  u16(value: number): this {
    const at = this.#room(2)
    this.#buffer.writeUInt16LE(value, at)
    return this
  }

  u32(value: number): this {
    const at = this.#room(4)
    this.#buffer.writeUInt32LE(value, at)
    return this
  }

  i32(value: number): this {
    const at = this.#room(4)
    this.#buffer.writeInt32LE(value, at)
    return this
  }

  u64(value: bigint | number): this {
    const at = this.#room(8)
    this.#buffer.writeBigUInt64LE(BigInt(value), at)
    return this
  }

  bytes(value: Uint8Array): this {
    this.u32(value.length)
    return this.raw(value)
  }

  /** What `write` writes, with its length before it. */
  sized(write: ((writer: this) => unknown) | undefined): this {
    const at = this.#room(4)
    write?.(this)
    this.#buffer.writeUInt32LE(this.#length - at - 4, at)
    return this
  }

  raw(value: Uint8Array): this {
    const at = this.#room(value.length)
    this.#buffer.set(value, at)
    return this
  }

  /** Throws RangeError for text with NUL, which the native program could only cut. */
  str(value: string): this {
    if (value.includes('\0')) throw new RangeError('Text with a NUL character')
    const length = Buffer.byteLength(value)
    this.u32(length)
    const at = this.#room(length)
    this.#buffer.write(value, at, 'utf8')
    return this
  }

  list<T>(items: readonly T[], write: (item: T) => void): this {
    this.u16(items.length)
    for (const item of items) write(item)
    return this
  }

  /** What was written so far, without copying. */
  take(): Buffer {
    return this.#buffer.subarray(0, this.#length)
  }

  #room(count: number): number {
    const at = this.#length
    const need = at + count
    if (need > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(Math.max(need, this.#buffer.length * 2))
      this.#buffer.copy(larger, 0, 0, at)
      this.#buffer = larger
    }
    this.#length = need
    return at
  }
}

/** Reads what a {@link Writer} writes. Throws RangeError past the end. */
export class Reader {
  #at = 0
  readonly #bytes: Buffer

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get left(): number {
    return this.#bytes.length - this.#at
  }

  u8(): number {
    return this.#bytes.readUInt8(this.#step(1))
  }

  u16(): number {
    return this.#bytes.readUInt16LE(this.#step(2))
  }

  u32(): number {
    return this.#bytes.readUInt32LE(this.#step(4))
  }

  i32(): number {
    return this.#bytes.readInt32LE(this.#step(4))
  }

  u64(): bigint {
    return this.#bytes.readBigUInt64LE(this.#step(8))
  }

  raw(count: number): Buffer {
    const at = this.#step(count)
    return this.#bytes.subarray(at, at + count)
  }

  bytes(): Buffer {
    return this.raw(this.u32())
  }

  str(): string {
    return this.bytes().toString('utf8')
  }

  list<T>(read: () => T): T[] {
    return Array.from({ length: this.u16() }, read)
  }

  #step(count: number): number {
    const at = this.#at
    if (count > this.left) throw new RangeError(`${count} bytes wanted, ${this.left} left`)
    this.#at = at + count
    return at
  }
}

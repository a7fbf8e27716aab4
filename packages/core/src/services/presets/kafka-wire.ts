import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { MayflyError, messageOf } from '../../errors.js'

/** What is asked of a broker: number and version of the request. Versions that Kafka 2.0 to 4 know. [Kafka protocol guide, API keys; KIP-896] */
export const API = {
  produce: [0, 3], fetch: [1, 4], listOffsets: [2, 1], metadata: [3, 1], listGroups: [16, 0],
  createTopics: [19, 2], deleteTopics: [20, 1], describeConfigs: [32, 1], deleteGroups: [42, 0],
} as const

/** A connection to one broker. Requests are answered in their order. */
export interface Broker {
  ask(api: keyof typeof API, body: Buffer): Promise<Reader>
  end(): void
}

/** Throws ERR_MAYFLY_RESET_FAILED. */
export async function openBroker(url: string): Promise<Broker> {
  const { hostname, port } = new URL(url)
  const socket = connect({ host: hostname, port: Number(port) })
  const closed = new Promise<never>((_, reject) => {
    socket.once('error', cause => reject(refused('does not answer', cause)))
    socket.once('close', () => reject(refused('closed the connection')))
    socket.setTimeout(PATIENCE, () => socket.destroy(new Error(`silent for ${String(PATIENCE)} ms`)))
  })
  closed.catch(() => undefined)
  await Promise.race([once(socket, 'connect'), closed])
  const frames = framesOf(socket)
  let correlation = 0
  return {
    ask: async (api, body) => {
      const [key, version] = API[api]
      const head = new Writer().int16(key).int16(version).int32(correlation += 1).text('mayfly').done()
      socket.write(Buffer.concat([new Writer().int32(head.length + body.length).done(), head, body]))
      const { value } = await Promise.race([frames.next(), closed]) as IteratorResult<Buffer, Buffer>
      const answer = new Reader(value)
      if (answer.int32() !== correlation) throw refused(`mixed up its answers to ${api}`)
      return answer
    },
    end: () => void socket.destroy(),
  }
}

const PATIENCE = 30_000

export function refused(what: string, cause?: unknown): MayflyError {
  const why = cause === undefined ? '' : `: ${messageOf(cause)}`
  return new MayflyError('ERR_MAYFLY_RESET_FAILED', `A service's state could not be kept or brought back: Kafka ${what}${why}`, { cause })
}

async function* framesOf(socket: Socket): AsyncGenerator<Buffer, Buffer> {
  let bytes = Buffer.alloc(0)
  for await (const chunk of socket) {
    bytes = Buffer.concat([bytes, chunk as Buffer])
    while (bytes.length >= 4 && bytes.length >= 4 + bytes.readInt32BE()) {
      const end = 4 + bytes.readInt32BE()
      yield bytes.subarray(4, end)
      bytes = bytes.subarray(end)
    }
  }
  throw refused('closed the connection')
}

/** The protocol's primitive types. [Kafka protocol guide, Protocol Primitive Types] */
export class Writer {
  readonly #parts: Buffer[] = []

  int8(value: number): this { return this.#add(1, part => part.writeInt8(value)) }
  int16(value: number): this { return this.#add(2, part => part.writeInt16BE(value)) }
  int32(value: number): this { return this.#add(4, part => part.writeInt32BE(value)) }
  int64(value: bigint): this { return this.#add(8, part => part.writeBigInt64BE(value)) }

  text(value: string | null): this {
    if (value === null) return this.int16(-1)
    const bytes = Buffer.from(value)
    this.int16(bytes.length)
    this.#parts.push(bytes)
    return this
  }

  bytes(value: Buffer): this {
    this.int32(value.length)
    this.#parts.push(value)
    return this
  }

  array<T>(items: readonly T[], write: (item: T, writer: Writer) => unknown): this {
    this.int32(items.length)
    for (const item of items) write(item, this)
    return this
  }

  done(): Buffer { return Buffer.concat(this.#parts) }

  #add(length: number, write: (part: Buffer) => unknown): this {
    const part = Buffer.alloc(length)
    write(part)
    this.#parts.push(part)
    return this
  }
}

export class Reader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  int8(): number { return this.#bytes.readInt8(this.#skip(1)) }
  int16(): number { return this.#bytes.readInt16BE(this.#skip(2)) }
  int32(): number { return this.#bytes.readInt32BE(this.#skip(4)) }
  int64(): bigint { return this.#bytes.readBigInt64BE(this.#skip(8)) }

  /** Absent is empty. */
  text(): string {
    const length = this.int16()
    const at = this.#skip(Math.max(0, length))
    return this.#bytes.toString('utf8', at, this.#at)
  }

  bytes(): Buffer {
    const length = this.int32()
    const at = this.#skip(Math.max(0, length))
    return this.#bytes.subarray(at, this.#at)
  }

  array<T>(read: (reader: Reader) => T): T[] {
    const count = this.int32()
    return Array.from({ length: Math.max(0, count) }, () => read(this))
  }

  #skip(length: number): number {
    const at = this.#at
    this.#at += length
    return at
  }
}

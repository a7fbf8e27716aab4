import { StringDecoder } from 'node:string_decoder'

import { decodeLogRecords, encodeLogs, METHOD, type Connection } from '../native/index.js'
import { isMayflyError } from '../errors.js'
import type { LogLine, LogOptions } from './types.js'

const CREDIT = 1 << 20
const ALL = 0xffffffff

/** A container's log, line by line. Ends early without harm; a container that is gone has none. */
export async function* readLogs(connection: Connection, id: string, options: LogOptions = {}): AsyncGenerator<LogLine> {
  const { tail, follow } = options
  if (tail === undefined) return yield* rawLines(connection, id, options)
  if (follow === true) return yield* skip(await earlier(connection, id, options) - tail, rawLines(connection, id, options))
  const last: LogLine[] = []
  for await (const line of rawLines(connection, id, options)) {
    last.push(line)
    if (last.length > tail) last.shift()
  }
  yield* last
}

/** How many lines there are so far. */
async function earlier(connection: Connection, id: string, options: LogOptions): Promise<number> {
  let count = 0
  for await (const _ of rawLines(connection, id, { ...options, follow: false })) count += 1
  return count
}

async function* skip(count: number, lines: AsyncIterable<LogLine>): AsyncGenerator<LogLine> {
  let left = count
  for await (const line of lines) {
    if (left > 0) left -= 1
    else yield line
  }
}

async function* rawLines(connection: Connection, id: string, options: LogOptions): AsyncGenerator<LogLine> {
  const which = options.stream === 'stdout' ? 2 : options.stream === 'stderr' ? 4 : 6
  const flags = which | (options.follow === true ? 1 : 0)
  const since = options.since === undefined ? 0n : BigInt(Math.floor(Number(options.since))) * 1_000_000n
  const chunks: Buffer[] = []
  let over = false
  let wake = (): void => undefined
  const stream = {
    data: (payload: Buffer) => { chunks.push(payload); wake() },
    end: () => { over = true; wake() },
  }
  const { id: request, reply } = connection.open(METHOD.logs, encodeLogs(id, flags, since, ALL, CREDIT), stream)
  try {
    await reply
    const splitter = { stdout: new LineSplitter('stdout'), stderr: new LineSplitter('stderr') }
    for (;;) {
      const chunk = chunks.shift()
      if (chunk === undefined) {
        if (over) break
        await new Promise<void>((resolve) => void (wake = resolve))
        continue
      }
      for (const record of decodeLogRecords(chunk)) {
        if (record.stream !== 'dropped') yield* splitter[record.stream].push(record.time, record.bytes)
        else yield* [...splitter.stdout.rest(), ...splitter.stderr.rest(), droppedLine(record.time, Number(record.count))]
      }
      if (!over) connection.credit(request, chunk.length)
    }
    yield* splitter.stdout.rest()
    yield* splitter.stderr.rest()
  } catch (error) {
    if (!isMayflyError(error) || error.code !== 'ERR_MAYFLY_CONTAINER_NOT_FOUND') throw error
  } finally {
    if (!over) connection.end(request)
  }
}

function droppedLine(time: bigint, dropped: number): LogLine {
  const text = `[mayfly: ${dropped} bytes of output stood here; only the newest 10 MiB of a log are kept]`
  return { time: new Date(Number(time / 1_000_000n)), stream: 'stderr', text, dropped }
}

class LineSplitter {
  readonly #stream: LogLine['stream']
  readonly #decoder = new StringDecoder('utf8')
  #rest = ''
  #time = 0n

  constructor(stream: LogLine['stream']) {
    this.#stream = stream
  }

  * push(time: bigint, bytes: Buffer): Generator<LogLine> {
    if (this.#rest === '') this.#time = time
    const parts = (this.#rest + this.#decoder.write(bytes)).split('\n')
    this.#rest = parts.pop() ?? ''
    for (const text of parts) {
      yield this.#line(text)
      this.#time = time
    }
  }

  * rest(): Generator<LogLine> {
    const text = this.#rest + this.#decoder.end()
    this.#rest = ''
    if (text !== '') yield this.#line(text)
  }

  #line(text: string): LogLine {
    const time = new Date(Number(this.#time / 1_000_000n))
    return { time, stream: this.#stream, text: text.endsWith('\r') ? text.slice(0, -1) : text }
  }
}

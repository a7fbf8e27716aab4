import { Readable } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'

import { MayflyError } from '../errors.js'
import type { Connection } from '../native/index.js'
import { readRecords, type RecordSource } from './output.js'
import type { LogLine, LogOptions, Logs } from './types.js'

/** See `Container.logs`. Throws ERR_MAYFLY_OPTION_INVALID. */
export function logsOf(connection: Connection, id: string, options: LogOptions = {}): Logs {
  check(options)
  const lines = (): AsyncGenerator<LogLine> => readLogs(connection, id, options)
  return {
    [Symbol.asyncIterator]: lines,
    stream: () => Readable.from((async function* text() {
      for await (const line of lines()) yield `${line.text}\n`
    })(), { objectMode: false, highWaterMark: 64 << 10 }),
  }
}

function check({ tail, since, until, stream }: LogOptions): void {
  const invalid = (option: string, value: unknown, allowed: string): MayflyError =>
    new MayflyError('ERR_MAYFLY_OPTION_INVALID', `Invalid ${option} ${String(value)}: ${allowed}`, { details: { option } })
  if (tail !== undefined && !(Number.isSafeInteger(tail) && tail >= 0)) throw invalid('tail', tail, 'a whole number from 0')
  for (const [option, value] of Object.entries({ since, until })) {
    if (value !== undefined && !Number.isFinite(Number(value))) throw invalid(option, value, 'a Date, or milliseconds since 1970')
  }
  if (since !== undefined && until !== undefined && Number(since) > Number(until)) throw invalid('until', until, 'it is before `since`')
  if (stream !== undefined && stream !== 'stdout' && stream !== 'stderr') throw invalid('stream', stream, '"stdout" or "stderr"; both when left out')
}

/** A container's log, line by line. Ends early without harm; a container that is gone has none. */
export function readLogs(connection: Connection, id: string, options: LogOptions = {}): AsyncGenerator<LogLine> {
  return linesOf((wanted) => readRecords(connection, id, wanted), options)
}

/** What is printed of records, line by line. */
export async function* linesOf(source: RecordSource, options: LogOptions = {}): AsyncGenerator<LogLine> {
  if (options.timestamps !== true) return yield* chosenLines(source, options)
  for await (const line of chosenLines(source, options)) yield { ...line, text: `${line.time.toISOString()} ${line.text}` }
}

async function* chosenLines(source: RecordSource, options: LogOptions): AsyncGenerator<LogLine> {
  const { tail, follow } = options
  if (tail === undefined) return yield* rawLines(source, options)
  if (follow === true) return yield* skip(await earlier(source, options) - tail, rawLines(source, options))
  const last: LogLine[] = []
  for await (const line of rawLines(source, options)) {
    last.push(line)
    if (last.length > tail) last.shift()
  }
  yield* last
}

/** How many lines there are so far. */
async function earlier(source: RecordSource, options: LogOptions): Promise<number> {
  let count = 0
  for await (const _ of rawLines(source, { ...options, follow: false })) count += 1
  return count
}

async function* skip(count: number, lines: AsyncIterable<LogLine>): AsyncGenerator<LogLine> {
  let left = count
  for await (const line of lines) {
    if (left > 0) left -= 1
    else yield line
  }
}

async function* rawLines(source: RecordSource, options: LogOptions): AsyncGenerator<LogLine> {
  const splitter = { stdout: new LineSplitter('stdout'), stderr: new LineSplitter('stderr') }
  for await (const record of source(options)) {
    if (record.stream !== 'dropped') yield* splitter[record.stream].push(record.time, record.bytes)
    else yield* [...splitter.stdout.rest(), ...splitter.stderr.rest(), droppedLine(record.time, Number(record.count))]
  }
  yield* splitter.stdout.rest()
  yield* splitter.stderr.rest()
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

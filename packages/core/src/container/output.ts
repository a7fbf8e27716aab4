import { isMayflyError } from '../errors.js'
import { decodeLogRecords, encodeLogs, METHOD, type Connection, type LogRecord } from '../native/index.js'
import type { OutputOptions, OutputPiece } from './types.js'

const CREDIT = 1 << 20
const ALL = 0xffffffff
const SINCE_START = 16

/** A container's output as it was written: bytes, in pieces that end anywhere. */
export async function* readOutput(connection: Connection, id: string, options: OutputOptions = {}): AsyncGenerator<OutputPiece> {
  for await (const record of readRecords(connection, id, options)) {
    const time = new Date(Number(record.time / 1_000_000n))
    if (record.stream !== 'dropped') yield { time, stream: record.stream, bytes: record.bytes }
    else yield { time, stream: 'stderr', bytes: Buffer.alloc(0), dropped: Number(record.count) }
  }
}

/** A container's output, from wherever it is kept. */
export type RecordSource = (options: OutputOptions) => AsyncGenerator<LogRecord>

/** What is kept of a container's output and, with `follow`, what comes. Ends early without harm; a container that is gone has none. */
export async function* readRecords(connection: Connection, id: string, options: OutputOptions): AsyncGenerator<LogRecord> {
  const which = options.stream === 'stdout' ? 2 : options.stream === 'stderr' ? 4 : 6
  const flags = which | (options.follow === true ? 1 : 0) | (options.sinceStart === true ? SINCE_START : 0)
  const since = options.since === undefined ? 0n : BigInt(Math.floor(Number(options.since))) * 1_000_000n
  const until = options.until === undefined ? undefined : BigInt(Math.floor(Number(options.until))) * 1_000_000n
  const chunks: Buffer[] = []
  let over = false
  let late = false
  let wake = (): void => undefined
  const stream = {
    data: (payload: Buffer) => { chunks.push(payload); wake() },
    end: () => { over = true; wake() },
  }
  const { id: request, reply } = connection.open(METHOD.logs, encodeLogs(id, flags, since, ALL, CREDIT), stream)
  // Whoever follows until a time hears of it also when nothing is written any more.
  const clock = until === undefined || options.follow !== true ? undefined : setTimeout(() => { late = true; wake() }, Math.min(2 ** 31 - 1, Math.max(0, Number(options.until) - Date.now())))
  try {
    await reply
    for (;;) {
      const chunk = chunks.shift()
      if (chunk === undefined) {
        if (over || late) break
        await new Promise<void>((resolve) => void (wake = resolve))
        continue
      }
      for (const record of decodeLogRecords(chunk)) {
        if (until !== undefined && record.time >= until) return
        yield record
      }
      if (!over) connection.credit(request, chunk.length)
    }
  } catch (error) {
    if (!isMayflyError(error) || error.code !== 'ERR_MAYFLY_CONTAINER_NOT_FOUND') throw error
  } finally {
    clearTimeout(clock)
    if (!over) connection.end(request)
  }
}

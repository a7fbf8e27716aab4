import { createWriteStream } from 'node:fs'
import { readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'

import { decodeLogRecords, encodeLogRecord, type LogRecord } from '../native/index.js'
import { keptDirectory } from './kept.js'
import type { OutputOptions } from './types.js'

/** Bytes of the logs of all lives together; the last life's is kept whatever its size. */
const MOST = 10 << 20

/** Writes down what a container printed in a life that is over. */
export async function keepLog(id: string, life: number, records: AsyncIterable<LogRecord>): Promise<void> {
  const directory = keptDirectory(id)
  const file = join(directory, `log.${life}`)
  await pipeline(Readable.from(encoded(records)), createWriteStream(`${file}.new`, { mode: 0o600 }))
  await rename(`${file}.new`, file)
  const sizes = await Promise.all((await lives(directory)).map(async (one) => ({ one, size: (await stat(join(directory, `log.${one}`))).size })))
  let total = 0
  for (const { one, size } of sizes.reverse()) {
    total += size
    if (total > MOST && one !== life) await rm(join(directory, `log.${one}`))
  }
}

/** What a container printed in those lives that are over which are `wanted`. */
export async function* keptRecords(id: string, { since, until, stream }: OutputOptions, wanted: (life: number) => boolean = () => true): AsyncGenerator<LogRecord> {
  const directory = keptDirectory(id)
  const [from, to] = [since, until].map((time) => (time === undefined ? undefined : BigInt(Math.floor(Number(time))) * 1_000_000n))
  for (const life of await lives(directory)) {
    if (!wanted(life)) continue
    for (const record of decodeLogRecords(await readFile(join(directory, `log.${life}`)).catch(() => Buffer.alloc(0)))) {
      if (to !== undefined && record.time >= to) return
      if ((from === undefined || record.time >= from) && (stream === undefined || record.stream === stream)) yield record
    }
  }
}

async function lives(directory: string): Promise<number[]> {
  const names = await readdir(directory).catch(() => [])
  return names.flatMap((name) => /^log\.(\d+)$/.exec(name)?.[1] ?? []).map(Number).sort((a, b) => a - b)
}

async function* encoded(records: AsyncIterable<LogRecord>): AsyncGenerator<Buffer> {
  for await (const record of records) yield encodeLogRecord(record)
}

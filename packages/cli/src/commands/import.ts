import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { Readable } from 'node:stream'

import { invalid } from '../action.js'
import { interruptible } from '../interrupt.js'

interface Flags {
  readonly message?: string
  readonly change?: readonly string[]
  readonly platform?: string
}

/** Makes an image of a tar: a file, a URL, or standard input. */
export async function importImage(from: string, name: string | undefined, { message, change, platform }: Flags): Promise<void> {
  const { importImage: make } = await import('@mayfly/core/engine')
  await interruptible(async (signal) => {
    const { id } = await make(await source(from, signal), { name, message, changes: change, platform, signal })
    process.stdout.write(`${id}\n`)
  })
}

async function source(from: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
  if (from === '-') return process.stdin as AsyncIterable<Buffer>
  if (/^https?:\/\//.test(from)) {
    const { body, ok, status } = await fetch(from, { signal })
    if (!ok || body === null) throw invalid(`${from} answers ${status}`, 'Is it the address of a tar?')
    return Readable.fromWeb(body as Parameters<typeof Readable.fromWeb>[0])
  }
  if (await stat(from).then((found) => !found.isFile(), () => true)) throw invalid(`There is no file ${from}`, 'Give the path of a tar, its URL, or - for standard input.')
  return createReadStream(from, { highWaterMark: 1 << 20 }) as AsyncIterable<Buffer>
}

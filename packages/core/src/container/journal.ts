import { watch } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'

import { JOURNAL, SOON, type JournalEvent } from '../images/journal.js'
import { claimHome, defaultHome } from '../images/store.js'

export { flushEvents, noteEvent, noteEvents, noteNow, type JournalEvent } from '../images/journal.js'

export interface JournalOptions {
  /** Begin with what happened from then on; milliseconds since 1970. Default: now. */
  readonly since?: number | undefined
  /** End when what happens is later. */
  readonly until?: number | undefined
  readonly signal?: AbortSignal | undefined
}

/** What happened, and with no `until` in the past what happens. */
export async function* readEvents({ since, until, signal }: JournalOptions = {}): AsyncGenerator<JournalEvent> {
  const home = claimHome(defaultHome())
  const file = join(home, JOURNAL)
  let wake = (): void => undefined
  // Watched before it is read: nothing is written in between.
  const watcher = watch(home, () => { wake() })
  // What has happened by then is written a moment later.
  const end = until === undefined ? undefined : until + 2 * SOON
  const clock = end === undefined ? undefined : setTimeout(() => { wake() }, Math.min(2 ** 31 - 1, Math.max(0, end - Date.now()) + 1))
  const abort = (): void => { wake() }
  signal?.addEventListener('abort', abort)
  const reader = new Reader(file)
  try {
    const before = await reader.begin()
    if (since !== undefined) yield* before.sort((a, b) => a.time - b.time).filter((event) => fits(event, since, until))
    for (;;) {
      const changed = new Promise<void>((resolve) => void (wake = resolve))
      const over = end !== undefined && Date.now() >= end
      for (const event of await reader.more()) if (fits(event, since, until)) yield event
      if (signal?.aborted === true || over) return
      await changed
    }
  } finally {
    watcher.close()
    clearTimeout(clock)
    signal?.removeEventListener('abort', abort)
    await reader.close()
  }
}

function fits({ time }: JournalEvent, since = 0, until = Number.POSITIVE_INFINITY): boolean {
  return time >= since && time <= until
}

interface Opened {
  readonly handle: FileHandle
  readonly inode: number
  at: number
}

/** Reads on where it stopped. A file that another has taken the place of is still read to its end. */
class Reader {
  readonly #file: string
  #opened: Opened | undefined

  constructor(file: string) {
    this.#file = file
  }

  /** All there is, that of the predecessor included. */
  async begin(): Promise<JournalEvent[]> {
    this.#opened = await opened(this.#file)
    return [...await this.#before(this.#opened), ...await linesOf(this.#opened)]
  }

  /** What the predecessor has, unless that is one of these. */
  async #before(...others: (Opened | undefined)[]): Promise<JournalEvent[]> {
    const before = await opened(`${this.#file}.old`)
    const lines = others.some((one) => one?.inode === before?.inode) ? [] : await linesOf(before)
    await before?.handle.close()
    return lines
  }

  async more(): Promise<JournalEvent[]> {
    const found = await opened(this.#file)
    const last = this.#opened
    const rest = await linesOf(last)
    if (found === undefined || found.inode === last?.inode) {
      await found?.handle.close()
      return rest
    }
    await last?.handle.close()
    this.#opened = found
    // Two may have gone by.
    const between = last === undefined ? [] : await this.#before(last, found)
    return [...rest, ...between, ...await linesOf(found)]
  }

  async close(): Promise<void> {
    await this.#opened?.handle.close()
  }
}

async function opened(file: string): Promise<Opened | undefined> {
  const handle = await open(file).catch(() => undefined)
  return handle === undefined ? undefined : { handle, inode: (await handle.stat()).ino, at: 0 }
}

async function linesOf(file: Opened | undefined): Promise<JournalEvent[]> {
  if (file === undefined) return []
  const { size } = await file.handle.stat()
  const bytes = Buffer.alloc(Math.max(0, size - file.at))
  const { bytesRead } = await file.handle.read(bytes, 0, bytes.length, file.at)
  // The last line may be half written yet.
  const whole = bytes.subarray(0, bytes.subarray(0, bytesRead).lastIndexOf(10) + 1)
  file.at += whole.length
  return whole.toString('utf8').split('\n').flatMap(parsed)
}

function parsed(line: string): JournalEvent[] {
  try {
    return line === '' ? [] : [JSON.parse(line) as JournalEvent]
  } catch {
    return [] // cut off by a full disk
  }
}

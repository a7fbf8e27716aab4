import { watch } from 'node:fs'
import { appendFile, open, rename, stat } from 'node:fs/promises'
import { join } from 'node:path'

import { claimHome, defaultHome } from '../images/store.js'

/** What happened to a container or network of the background run, in Docker's words. */
export interface JournalEvent {
  readonly type: 'container' | 'network'
  /** `create`, `start`, `die`, `health_status: healthy`. */
  readonly action: string
  readonly id: string
  /** `name`, `image`, `exitCode`, labels. */
  readonly attributes: Readonly<Record<string, string>>
  /** Milliseconds since 1970. */
  readonly time: number
}

export interface JournalOptions {
  /** Begin with what happened from then on; milliseconds since 1970. Default: now. */
  readonly since?: number | undefined
  /** End when what happens is later. */
  readonly until?: number | undefined
  readonly signal?: AbortSignal | undefined
}

/** Bytes of the file; its predecessor is kept beside it. */
const MOST = 1 << 20
const FILE = 'events'

/** Writes it down for whoever reads. Written by the keeper alone. */
export async function writeEvent(event: JournalEvent): Promise<void> {
  const file = join(claimHome(), FILE)
  const size = (await stat(file).catch(() => undefined))?.size ?? 0
  if (size > MOST) await rename(file, `${file}.old`)
  await appendFile(file, `${JSON.stringify(event)}\n`, { mode: 0o600 })
}

/** What happened, and with no `until` in the past what happens. */
export async function* readEvents({ since, until, signal }: JournalOptions = {}): AsyncGenerator<JournalEvent> {
  const home = claimHome(defaultHome())
  const [file, began] = [join(home, FILE), Date.now()]
  let wake = (): void => undefined
  // Watched before it is read: nothing is written in between.
  const watcher = watch(home, () => { wake() })
  const clock = until === undefined ? undefined : setTimeout(() => { wake() }, Math.min(2 ** 31 - 1, Math.max(0, until - began)))
  const abort = (): void => { wake() }
  signal?.addEventListener('abort', abort)
  try {
    const reader = new Reader(file, since === undefined)
    if (since !== undefined) yield* (await linesOf(`${file}.old`)).filter((event) => fits(event, since, until))
    for (;;) {
      const changed = new Promise<void>((resolve) => void (wake = resolve))
      for (const event of await reader.more()) {
        if (until !== undefined && event.time > until) return
        if (fits(event, since, until)) yield event
      }
      if (signal?.aborted === true || (until !== undefined && Date.now() >= until)) return
      await changed
    }
  } finally {
    watcher.close()
    clearTimeout(clock)
    signal?.removeEventListener('abort', abort)
  }
}

function fits({ time }: JournalEvent, since = 0, until = Number.POSITIVE_INFINITY): boolean {
  return time >= since && time <= until
}

async function linesOf(file: string): Promise<JournalEvent[]> {
  return new Reader(file, false).more()
}

/** Reads on where it stopped; a file that has taken the other's place is read from its beginning. */
class Reader {
  readonly #file: string
  #skip: boolean
  #at = 0
  #inode = 0
  #rest = ''

  constructor(file: string, skip: boolean) {
    this.#file = file
    this.#skip = skip
  }

  async more(): Promise<JournalEvent[]> {
    const opened = await open(this.#file).catch(() => undefined)
    if (opened === undefined) {
      this.#skip = false
      return []
    }
    try {
      const { ino, size } = await opened.stat()
      if (ino !== this.#inode) [this.#inode, this.#at, this.#rest] = [ino, this.#skip ? size : 0, '']
      this.#skip = false
      const bytes = Buffer.alloc(Math.max(0, size - this.#at))
      const { bytesRead } = await opened.read(bytes, 0, bytes.length, this.#at)
      this.#at += bytesRead
      const lines = (this.#rest + bytes.toString('utf8', 0, bytesRead)).split('\n')
      this.#rest = lines.pop() ?? ''
      return lines.map((line) => JSON.parse(line) as JournalEvent)
    } finally {
      await opened.close()
    }
  }
}

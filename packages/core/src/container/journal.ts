import { appendFileSync, mkdirSync, renameSync, rmdirSync, statSync, watch } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as later } from 'node:timers'

import { claimHome, defaultHome } from '../images/store.js'

/** What happened to a container or network of this user, in Docker's words. */
export interface JournalEvent {
  readonly type: 'container' | 'network'
  /** `create`, `start`, `die`, `health_status: healthy`. */
  readonly action: string
  readonly id: string
  /** `name`, `image`, `exitCode`, labels. */
  readonly attributes: Readonly<Record<string, string>>
  /** The one that ended it, beside the exit code that shells give. */
  readonly signal?: string | undefined
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
/** Milliseconds that an event waits for others, so that nothing is written while a container starts. */
const SOON = 25
/** Milliseconds after which nobody is putting the file aside any more. */
const LONG = 10_000

type Words = () => readonly JournalEvent[]
const waiting = new Map<string, Words[]>()

/** Writes it down for whoever reads, in a moment; at the end of this process at the latest. Its words are asked for only then. */
export function noteEvents(home: string, words: Words): void {
  if (waiting.size === 0) {
    later(flushEvents, SOON).unref()
    process.once('exit', flushEvents)
  }
  const all = waiting.get(home)
  if (all === undefined) waiting.set(home, [words])
  else all.push(words)
}

export function noteEvent(home: string, event: JournalEvent): void {
  noteEvents(home, () => [event])
}

/** Writes down what waits. A journal that cannot be written is no reason to stop anything. */
export function flushEvents(): void {
  process.off('exit', flushEvents)
  const all = [...waiting]
  waiting.clear()
  for (const [home, words] of all) {
    try {
      append(join(home, FILE), words.flatMap((one) => one()).map((event) => `${JSON.stringify(event)}\n`).join(''))
    } catch {
      // Full, or the home is gone.
    }
  }
}

/** Many processes write here: each piece is whole lines, and lands behind the others'. [open(2), O_APPEND] */
function append(file: string, lines: string): void {
  if (sizeOf(file) > MOST) turnOver(file)
  appendFileSync(file, lines, { mode: 0o600 })
}

/** One at a time: a second one would put what is new in the place of what nobody may have read yet. */
function turnOver(file: string): void {
  const turn = `${file}.turn`
  try {
    mkdirSync(turn)
  } catch {
    // Somebody is at it, or was killed there.
    const since = statSync(turn, { throwIfNoEntry: false })?.mtimeMs
    if (since !== undefined && Date.now() - since > LONG) rmdirSync(turn)
    return
  }
  try {
    if (sizeOf(file) > MOST) renameSync(file, `${file}.old`)
  } finally {
    rmdirSync(turn)
  }
}

function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0
}

/** What happened, and with no `until` in the past what happens. */
export async function* readEvents({ since, until, signal }: JournalOptions = {}): AsyncGenerator<JournalEvent> {
  const home = claimHome(defaultHome())
  const file = join(home, FILE)
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

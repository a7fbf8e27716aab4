import { appendFileSync, mkdirSync, renameSync, rmdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as later } from 'node:timers'

/** What happened to a container, network, image or volume of this user, in Docker's words. */
export interface JournalEvent {
  readonly type: 'container' | 'network' | 'image' | 'volume'
  /** `create`, `start`, `die`, `health_status: healthy`, `pull`. */
  readonly action: string
  /** Of an image its id, or the name that was pulled or pushed; of a volume its name. */
  readonly id: string
  /** `name`, `image`, `exitCode`, labels. */
  readonly attributes: Readonly<Record<string, string>>
  /** The one that ended it, beside the exit code that shells give. */
  readonly signal?: string | undefined
  /** Milliseconds since 1970. */
  readonly time: number
}

/** Bytes of the file; its predecessor is kept beside it. */
const MOST = 1 << 20
export const JOURNAL = 'events'
/** Milliseconds that an event waits for others, so that nothing is written while a container starts. */
export const SOON = 25
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

/** Writes it down at once, behind what waits: no start does. */
export function noteNow(home: string, event: Omit<JournalEvent, 'time'>): void {
  noteEvent(home, { ...event, time: Date.now() })
  flushEvents()
}

/** What happened to an image: under its id, or the name that was asked for. */
export function noteImage({ home }: { readonly home: string }, action: 'delete' | 'import' | 'load' | 'pull' | 'push' | 'save' | 'tag' | 'untag', id: string, name?: string): void {
  noteNow(home, { type: 'image', action, id, attributes: name === undefined ? {} : { name } })
}

/** Writes down what waits. A journal that cannot be written is no reason to stop anything. */
export function flushEvents(): void {
  process.off('exit', flushEvents)
  const all = [...waiting]
  waiting.clear()
  for (const [home, words] of all) {
    try {
      append(join(home, JOURNAL), words.flatMap((one) => one()).map((event) => `${JSON.stringify(event)}\n`).join(''))
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

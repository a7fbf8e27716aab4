import { appendFileSync } from 'node:fs'
import type { ExitStatus } from '../container/types.js'

/** What happened in a run. Times are milliseconds. */
export type Event =
  | {
    readonly event: 'image'
    /** `registry/repository:tag` */
    readonly image: string
    readonly digest: string
    /** `store`: it was there already. */
    readonly from: 'registry' | 'store'
    /** The registry or mirror that served it, now or when it was pulled. */
    readonly origin: string
    readonly ms: number
    /** Fetched now, compressed. */
    readonly bytes: number
  }
  | {
    readonly event: 'ready'
    /** What the tests call it. */
    readonly name: string
    readonly slot: number
    readonly image: string
    readonly container: string
    readonly from: Source
    /** Counted from the image's presence. */
    readonly ms: number
    readonly host: string
    /** Numbers at `host`, by the container's port. */
    readonly ports: Readonly<Record<string, number>>
  }
  | { readonly event: 'prepared'; readonly name: string; readonly ms: number }
  | { readonly event: 'reset'; readonly name: string; readonly slot: number; readonly ms: number }
  | { readonly event: 'ended'; readonly name: string; readonly slot: number; readonly exit: ExitStatus; /** A test did that. */ readonly stopped: boolean }
  /** Ended because the configuration, or what it is prepared from, has changed. */
  | { readonly event: 'changed'; readonly name: string }
  /** Nobody used a container for so long that all were ended. */
  | { readonly event: 'idle'; readonly ms: number }
  | { readonly event: 'waiting'; readonly name: string; readonly slot: number; readonly why: string }

/** Where an instance came from. `pool`: it had been started ahead; `database`: made in a running server; `external`: a server that was there. */
export type Source = 'image' | 'snapshot' | 'pool' | 'database' | 'external'

/** A run in figures, for the block at its end. */
export interface RunSummary {
  /** Instances by where they came from. */
  readonly started: number
  readonly cloned: number
  readonly fromPool: number
  readonly databases: number
  readonly prepared: number
  readonly resets: number
  /** Containers that ended by themselves. */
  readonly died: number
  readonly slowest: { readonly name: string; readonly ms: number } | undefined
  readonly pulled: { readonly images: number; readonly bytes: number }
  /** Containers that stay, by MAYFLY_KEEP. */
  readonly kept: readonly KeptContainer[]
}

export interface KeptContainer {
  readonly name: string
  readonly container: string
  /** A line for the terminal, or an address. */
  readonly reach: string
  /** Milliseconds since 1970. */
  readonly until: number
}

/** Writes down what happens in a run. */
export interface Journal {
  note(event: Event): void
  summary(kept?: readonly KeptContainer[]): RunSummary
}

/** Tells a file (MAYFLY_TRACE_FILE, a line of JSON each) and, by DEBUG=mayfly*, standard error. */
export function createJournal(environment: NodeJS.ProcessEnv = process.env): Journal {
  const file = environment['MAYFLY_TRACE_FILE']
  const debug = debugged(environment['DEBUG'])
  const counts = { image: 0, snapshot: 0, pool: 0, database: 0, external: 0, prepared: 0, reset: 0, ended: 0 }
  const pulled = { images: 0, bytes: 0 }
  let slowest: RunSummary['slowest']
  return {
    note: event => {
      if (event.event === 'ready') {
        counts[event.from] += 1
        if (event.ms > (slowest?.ms ?? -1)) slowest = { name: event.name, ms: event.ms }
      }
      if (event.event === 'image' && event.from === 'registry') {
        pulled.images += 1
        pulled.bytes += event.bytes
      }
      if (event.event === 'prepared' || event.event === 'reset' || (event.event === 'ended' && !event.stopped)) counts[event.event] += 1
      if (file !== undefined && file !== '') appendFileSync(file, `${JSON.stringify(event)}\n`)
      if (debug(event.event)) process.stderr.write(`mayfly:${event.event} ${spoken(event)}\n`)
    },
    summary: (kept = []) => ({
      started: counts.image, cloned: counts.snapshot, fromPool: counts.pool, databases: counts.database,
      prepared: counts.prepared, resets: counts.reset, died: counts.ended, slowest, pulled: { ...pulled }, kept,
    }),
  }
}

/** Whether a kind of event is asked for: `mayfly*`, `mayfly:ready,mayfly:reset`, `*,-mayfly:image`. */
function debugged(text: string | undefined): (kind: string) => boolean {
  const words = (text ?? '').split(/[\s,]+/).filter(word => word !== '')
  const fits = (word: string, kind: string): boolean =>
    word === 'mayfly' || new RegExp(`^${word.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*')}$`).test(`mayfly:${kind}`)
  return kind => words.some(word => !word.startsWith('-') && fits(word, kind)) && !words.some(word => word.startsWith('-') && fits(word.slice(1), kind))
}

function spoken(event: Event): string {
  switch (event.event) {
    case 'image': return `${event.image} ${event.from === 'store' ? 'is in the store' : `pulled from ${event.origin} in ${String(event.ms)} ms`} (${event.digest})`
    case 'ready': return `${event.name} for slot ${String(event.slot)} from ${event.from === 'image' ? event.image : event.from} in ${String(event.ms)} ms at ${event.host} (${Object.entries(event.ports).map(([port, number]) => `${port}=${String(number)}`).join(', ')})`
    case 'prepared': return `${event.name} in ${String(event.ms)} ms`
    case 'reset': return `${event.name} of slot ${String(event.slot)} in ${String(event.ms)} ms`
    case 'ended': return `${event.name} of slot ${String(event.slot)} ended with ${howItEnded(event.exit)}`
    case 'changed': return `${event.name} has changed: it begins anew`
    case 'idle': return `nobody was there for ${String(event.ms)} ms: all containers are ended, and begin anew when they are asked for`
    case 'waiting': return `${event.name} for slot ${String(event.slot)} waits: ${event.why}`
  }
}

/** `exit code 1`, or `signal SIGKILL`. */
export function howItEnded({ code, signal, oomKilled }: ExitStatus): string {
  return `${signal === undefined ? `exit code ${String(code)}` : `signal ${signal}`}${oomKilled ? ', out of memory' : ''}`
}

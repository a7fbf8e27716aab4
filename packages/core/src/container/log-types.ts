import type { Readable } from 'node:stream'

export interface LogOptions {
  /** Go on until the container ends. Default false. */
  readonly follow?: boolean | undefined
  /** Puts its time before each line's text, as RFC 3339 has it, and a space. Default false. */
  readonly timestamps?: boolean | undefined
  /** Only the last so many lines; those that come later with `follow` as well. */
  readonly tail?: number | undefined
  /** Only what was written at this time or later: a Date, or milliseconds since 1970. */
  readonly since?: Date | number | undefined
  /** Only what was written before this time; with `follow`, the end of it. */
  readonly until?: Date | number | undefined
  /** Default both. */
  readonly stream?: 'stdout' | 'stderr' | undefined
  /** Only what was written since its last start. Default false. */
  readonly sinceStart?: boolean | undefined
}

export type OutputOptions = Omit<LogOptions, 'tail' | 'timestamps'>

/** A log as lines; or, by `stream()`, as their text. Read slowly, it holds up nobody: see `LogLine.dropped`. */
export interface Logs extends AsyncIterable<LogLine> {
  /** The lines as UTF-8, each with its line end and, with `timestamps`, its time before it. */
  stream(): Readable
}

/** A piece of a container's output as it was written; it may end in the middle of a line or of a character. */
export interface OutputPiece {
  readonly time: Date
  readonly stream: 'stdout' | 'stderr'
  readonly bytes: Uint8Array
  /** Set when this piece, itself empty, stands for output that is kept no more: so many bytes. */
  readonly dropped?: number
}

export interface LogLine {
  readonly time: Date
  readonly stream: 'stdout' | 'stderr'
  /** Without its line end. */
  readonly text: string
  /** Set when this line stands for output that is kept no more: so many bytes. */
  readonly dropped?: number
}

import { Readable, Writable } from 'node:stream'

import { MayflyError } from '../errors.js'

const PIECE = 64 * 1024
const END_OF_TRANSMISSION = 4
const NEWLINE = 10

/** Where the input's bytes go. */
export interface InputTarget {
  data(bytes: Uint8Array): void
  end(): void
}

/** A process's standard input. It takes as much as the other side granted; that it is read no more is an error of what is still written. */
export class InputStream extends Writable {
  readonly #target: InputTarget
  readonly #terminal: boolean
  #room = 0
  #lost = false
  #lineEnded = true
  #waiting: { bytes: Buffer; readonly done: (error?: Error | null) => void } | undefined

  /** `terminal`: its end is told as a terminal's user does, by Ctrl-D. */
  constructor(target: InputTarget, terminal: boolean) {
    super({ highWaterMark: PIECE })
    this.#target = target
    this.#terminal = terminal
    // Who does not listen has nothing to do about it; who does, or gives a callback, is told.
    this.on('error', () => undefined)
  }

  /** The other side takes so many bytes more. */
  grant(bytes: number): void {
    this.#room += bytes
    this.#flush()
  }

  /** Nobody reads any more: what is written from now on fails. */
  lose(): void {
    if (this.#lost) return
    this.#lost = true
    const waiting = this.#waiting
    this.#waiting = undefined
    waiting?.done(unread())
  }

  /** The process is over. */
  close(): void {
    this.lose()
    if (!this.writableEnded) this.destroy()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#lost) return done(unread())
    this.#waiting = { bytes: chunk, done }
    this.#flush()
  }

  override _final(done: (error?: Error | null) => void): void {
    if (this.#lost) return done()
    // In the middle of a line the first one only hands that over.
    if (this.#terminal) this.#target.data(Buffer.alloc(this.#lineEnded ? 1 : 2, END_OF_TRANSMISSION))
    else this.#target.end()
    done()
  }

  #flush(): void {
    const waiting = this.#waiting
    while (waiting !== undefined && this.#room > 0 && waiting.bytes.length > 0) {
      const piece = waiting.bytes.subarray(0, Math.min(this.#room, PIECE))
      waiting.bytes = waiting.bytes.subarray(piece.length)
      this.#room -= piece.length
      this.#lineEnded = piece[piece.length - 1] === NEWLINE
      this.#target.data(piece)
    }
    if (waiting === undefined || waiting.bytes.length > 0) return
    this.#waiting = undefined
    waiting.done()
  }
}

/** A process's output. What the reader has taken is granted anew. */
export class OutputStream extends Readable {
  readonly #grant: (bytes: number) => void
  #owed = 0

  constructor(grant: (bytes: number) => void) {
    super({ highWaterMark: PIECE })
    this.#grant = grant
    this.on('error', () => undefined)
  }

  /** `cost`: what the bytes took of the window. */
  add(bytes: Buffer, cost: number): void {
    this.#owed += cost
    if (this.destroyed || this.push(bytes)) this.#pay()
  }

  finish(error?: Error): void {
    if (error === undefined) this.push(null)
    else this.destroy(error)
  }

  override _read(): void {
    this.#pay()
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    // Who reads no more does not stop the other stream, which shares the window.
    this.#pay()
    done(error)
  }

  #pay(): void {
    const owed = this.#owed
    this.#owed = 0
    if (owed > 0) this.#grant(owed)
  }
}

function unread(): MayflyError {
  return new MayflyError('ERR_MAYFLY_STDIN_CLOSED', 'The process takes no more input: it closed its standard input, or has ended')
}

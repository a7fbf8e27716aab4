import type { Socket } from 'node:net'

import { MayflyError } from '../errors.js'
import { Writer } from './bytes.js'
import { decodeFailure, errorOf } from './failure.js'
import { encodeFrame, encodeRequest, FrameSplitter, KIND, type Frame } from './frames.js'

/** A stream that a request opened: data until `end`. */
export interface StreamHandler {
  data(payload: Buffer): void
  /** So many bytes more may be sent. */
  credit?(bytes: number): void
  /** `error` when the connection was lost before the stream's own end; else what the end said. */
  end(error?: Error, payload?: Buffer): void
}

interface Waiting {
  readonly resolve: (payload: Buffer) => void
  readonly reject: (error: Error) => void
}

/** One client of a supervisor: requests and streams multiplexed on a socket that by itself keeps nobody alive. */
export class Connection {
  readonly #socket: Socket
  readonly #waiting = new Map<number, Waiting>()
  readonly #streams = new Map<number, StreamHandler>()
  readonly #idle = new Set<number>()
  readonly #splitter = new FrameSplitter()
  #last = 0
  #lost: Error | undefined
  onEvent: (payload: Buffer) => void = () => undefined
  onLost: (error: Error) => void = () => undefined

  constructor(socket: Socket) {
    this.#socket = socket
    socket.unref()
    socket.on('data', (chunk: Buffer) => this.#receive(chunk))
    socket.on('error', () => this.#lose())
    socket.on('close', () => this.#lose())
    socket.on('end', () => this.#lose())
  }

  get lost(): boolean {
    return this.#lost !== undefined
  }

  /** Sends a request. Throws what the native program reports, and ERR_MAYFLY_RUN_LOST when it is gone. */
  request(method: number, fields?: Uint8Array): Promise<Buffer> {
    return this.open(method, fields).reply
  }

  /**
   * Sends a request with a stream, or one that may stay unanswered (`idle`) and shall then not keep the process alive.
   */
  open(method: number, fields?: Uint8Array, stream?: StreamHandler, idle = false): { id: number; reply: Promise<Buffer> } {
    this.#last = this.#last === 0xffffffff ? 1 : this.#last + 1
    const id = this.#last
    const reply = new Promise<Buffer>((resolve, reject) => {
      if (this.#lost !== undefined) return reject(this.#lost)
      this.#waiting.set(id, { resolve, reject })
      if (stream !== undefined) this.#streams.set(id, stream)
      if (idle) this.#idle.add(id)
      this.#hold()
      this.#socket.write(encodeRequest(id, method, fields))
    })
    return { id, reply }
  }

  /** Whether the process may end although this request or stream is open. */
  setIdle(id: number, idle: boolean): void {
    if (idle) this.#idle.add(id)
    else this.#idle.delete(id)
    this.#hold()
  }

  data(id: number, bytes: Uint8Array): void {
    this.#send(KIND.data, id, bytes)
  }

  end(id: number): void {
    this.#send(KIND.end, id, new Uint8Array())
  }

  credit(id: number, bytes: number): void {
    this.#send(KIND.credit, id, new Writer().u32(bytes).take())
  }

  /** What comes of this stream is not wanted any more. */
  drop(id: number): void {
    this.#streams.delete(id)
    this.#forget(id)
  }

  close(): void {
    this.#socket.destroy()
    this.#lose()
  }

  #send(kind: number, id: number, payload: Uint8Array): void {
    if (this.#lost === undefined) this.#socket.write(encodeFrame(kind, id, payload))
  }

  #receive(chunk: Buffer): void {
    let frames: Frame[]
    try {
      frames = this.#splitter.push(chunk)
    } catch {
      return this.close()
    }
    for (const frame of frames) this.#dispatch(frame)
  }

  #dispatch({ kind, id, payload }: Frame): void {
    if (kind === KIND.event) return this.onEvent(payload)
    if (kind === KIND.data) return this.#streams.get(id)?.data(payload)
    if (kind === KIND.end) {
      const stream = this.#streams.get(id)
      this.#streams.delete(id)
      this.#forget(id)
      return stream?.end(undefined, payload)
    }
    if (kind === KIND.credit) return this.#streams.get(id)?.credit?.(payload.length >= 4 ? payload.readUInt32LE(0) : 0)
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    if (kind === KIND.reply) {
      if (!this.#streams.has(id)) this.#forget(id)
      return waiting?.resolve(payload)
    }
    if (kind === KIND.error) {
      this.#streams.delete(id)
      this.#forget(id)
      waiting?.reject(errorOf(decodeFailure(payload)))
    }
  }

  #forget(id: number): void {
    this.#idle.delete(id)
    this.#hold()
  }

  #hold(): void {
    let busy = false
    for (const id of this.#waiting.keys()) busy ||= !this.#idle.has(id)
    for (const id of this.#streams.keys()) busy ||= !this.#idle.has(id)
    if (busy) this.#socket.ref()
    else this.#socket.unref()
  }

  #lose(): void {
    if (this.#lost !== undefined) return
    const error = new MayflyError('ERR_MAYFLY_RUN_LOST', 'The supervisor of this run is gone, and its containers with it')
    this.#lost = error
    for (const { reject } of this.#waiting.values()) reject(error)
    for (const { end } of this.#streams.values()) end(error)
    this.#waiting.clear()
    this.#streams.clear()
    this.#idle.clear()
    this.#socket.unref()
    this.onLost(error)
  }
}

import type { Socket } from 'node:net'
import { type ErrorCode, MayflyError, type MayflyErrorOptions, messageOf } from '../errors.js'
import { withoutOurFrames } from './stack.js'

/** One side of a run-host connection: JSON lines, requests answered by id, in both directions. */
export interface Peer {
  readonly closed: Promise<void>
  /** Aborting tells the other side, whose answer then counts no more: ERR_MAYFLY_ABORTED. */
  request(op: string, params: unknown, signal?: AbortSignal): Promise<unknown>
  /** Items as the other side has them; leaving the loop early tells it. */
  stream(op: string, params: unknown): AsyncGenerator<unknown>
  close(): void
}

/** Answers a request; an async iterable is sent item by item. The signal ends with the asker's interest or the connection. */
export type Answer = (op: string, params: Readonly<Record<string, unknown>>, signal: AbortSignal) => unknown

interface Line {
  readonly id: number
  readonly op?: string
  readonly params?: Readonly<Record<string, unknown>>
  readonly item?: unknown
  readonly result?: unknown
  readonly error?: WireError
}

/** A MayflyError on its way to another process. */
export interface WireError {
  readonly code: ErrorCode
  readonly message: string
  readonly hint?: string | undefined
  readonly details?: Readonly<Record<string, unknown>>
}

interface Waiting {
  readonly resolve: (result: unknown) => void
  readonly reject: (error: Error) => void
  readonly item?: (item: unknown) => void
}

/** A line longer than this is not ours: the connection is dropped. */
const LONGEST_LINE = 64 * 1024 * 1024
/** Takes back the request of the same id; has no answer. */
const CANCEL = 'cancel'

/** Speaks JSON lines on a connected socket; `answer` serves the other side's requests. The socket keeps nobody alive. */
export function speak(socket: Socket, answer: Answer): Peer {
  const waiting = new Map<number, Waiting>()
  const serving = new Map<number, AbortController>()
  let last = 0
  let rest = ''
  const send = (line: Line): boolean =>
    socket.destroyed || !socket.writable || socket.write(`${JSON.stringify(line)}\n`)
  const receive = (line: Line): void => {
    if (line.op === CANCEL) return void serving.get(line.id)?.abort()
    if (line.op !== undefined) return void serve(line.id, line.op, line.params ?? {})
    const caller = waiting.get(line.id)
    if ('item' in line) return void caller?.item?.(line.item)
    forget(line.id)
    if (line.error === undefined) caller?.resolve(line.result)
    else caller?.reject(fromWire(line.error))
  }
  const serve = async (id: number, op: string, params: Readonly<Record<string, unknown>>): Promise<void> => {
    const interest = new AbortController()
    serving.set(id, interest)
    try {
      const result = await answer(op, params, interest.signal)
      if (isIterable(result)) await sendAll(id, result, interest.signal)
      else send({ id, result })
    } catch (error) {
      send({ id, error: toWire(error) })
    } finally {
      serving.delete(id)
    }
  }
  const sendAll = async (id: number, items: AsyncIterable<unknown>, signal: AbortSignal): Promise<void> => {
    for await (const item of items) {
      if (signal.aborted) break
      if (!send({ id, item })) await drained(socket)
    }
    send({ id, result: null })
  }
  /* Only an answer that is awaited may hold the process. */
  const settle = (): void => void (waiting.size > 0 ? socket.ref() : socket.unref())
  const forget = (id: number): void => {
    waiting.delete(id)
    settle()
  }
  const ask = (op: string, params: unknown, waiter: Waiting): number => {
    last += 1
    if (socket.destroyed) waiter.reject(lost())
    else waiting.set(last, waiter)
    settle()
    send({ id: last, op, params: params as Readonly<Record<string, unknown>> })
    return last
  }
  const cancel = (id: number): void => {
    if (!waiting.has(id)) return
    forget(id)
    send({ id, op: CANCEL })
  }
  socket.setEncoding('utf8')
  socket.setNoDelay(true)
  socket.unref()
  socket.on('data', (text: string) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    if (rest.length > LONGEST_LINE) return void socket.destroy()
    try {
      for (const line of lines) receive(JSON.parse(line) as Line)
    } catch {
      socket.destroy()
    }
  })
  socket.on('error', () => socket.destroy())
  const closed = new Promise<void>(resolve => socket.once('close', () => resolve()))
  void closed.then(() => {
    for (const { reject } of waiting.values()) reject(lost())
    waiting.clear()
    for (const interest of serving.values()) interest.abort()
  })
  return {
    closed,
    request: (op, params, signal) =>
      new Promise((resolve, reject) => {
        const gone = (): MayflyError => new MayflyError('ERR_MAYFLY_ABORTED', `The request "${op}" was aborted`, { cause: signal?.reason })
        if (signal?.aborted === true) return reject(gone())
        const abort = (): void => {
          cancel(id)
          reject(gone())
        }
        const done = (): void => signal?.removeEventListener('abort', abort)
        const id = ask(op, params, {
          resolve: result => { done(); resolve(result) },
          reject: error => { done(); reject(error) },
        })
        signal?.addEventListener('abort', abort, { once: true })
      }),
    stream: async function* (op, params) {
      const items: unknown[] = []
      let over: { readonly error?: Error } | undefined
      let wake = (): void => undefined
      const end = (how: { readonly error?: Error }): void => { over = how; wake() }
      const id = ask(op, params, {
        resolve: () => end({}),
        reject: error => end({ error }),
        item: item => { items.push(item); wake() },
      })
      try {
        for (;;) {
          while (items.length > 0) yield items.shift()
          if (over !== undefined) break
          await new Promise<void>(resolve => void (wake = resolve))
        }
        if (over.error !== undefined) throw over.error
      } finally {
        cancel(id)
      }
    },
    close: () => void socket.destroy(),
  }
}

function isIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value
}

function drained(socket: Socket): Promise<void> {
  return new Promise(resolve => {
    const done = (): void => {
      socket.off('drain', done).off('close', done)
      resolve()
    }
    socket.on('drain', done).on('close', done)
  })
}

function lost(): MayflyError {
  return new MayflyError('ERR_MAYFLY_RUN_LOST', 'The run host is gone, and its containers with it', {
    hint: 'Its last words stand on standard error above. Run the tests again.',
  })
}

export function toWire(error: unknown): WireError {
  const e = error as Partial<MayflyError>
  const code = typeof e.code === 'string' && e.code.startsWith('ERR_MAYFLY_') ? e.code : 'ERR_MAYFLY_INTERNAL'
  const message = messageOf(error)
  return { code, message, hint: e.hint, details: plain(e.details ?? {}) }
}

export function fromWire({ code, message, hint, details }: WireError): MayflyError {
  return shownError(code, message, { hint, details })
}

/** An error for tests. Their reporters show its message and nothing else of it: the hint goes with it. */
export function shownError(code: ErrorCode, message: string, { hint, ...rest }: MayflyErrorOptions): MayflyError {
  return withoutOurFrames(new MayflyError(code, hint === undefined ? message : `${message}\n${hint}`, { hint, ...rest }))
}

function plain(details: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  try {
    return JSON.parse(JSON.stringify(details)) as Readonly<Record<string, unknown>>
  } catch {
    return {}
  }
}

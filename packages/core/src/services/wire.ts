import type { Socket } from 'node:net'
import { MayflyError, type ErrorCode } from '../errors.js'

/** One side of a run-host connection: JSON lines, requests answered by id, in both directions. */
export interface Peer {
  readonly closed: Promise<void>
  request(op: string, params: unknown): Promise<unknown>
  close(): void
}

export type Answer = (op: string, params: Readonly<Record<string, unknown>>) => unknown

interface Line {
  readonly id: number
  readonly op?: string
  readonly params?: Readonly<Record<string, unknown>>
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

/** A line longer than this is not ours: the connection is dropped. */
const LONGEST_LINE = 64 * 1024 * 1024

/** Speaks JSON lines on a connected socket; `answer` serves the other side's requests. The socket keeps nobody alive. */
export function speak(socket: Socket, answer: Answer): Peer {
  const waiting = new Map<number, { resolve: (result: unknown) => void; reject: (error: Error) => void }>()
  let last = 0
  let rest = ''
  const send = (line: Line): void => {
    if (!socket.destroyed && socket.writable) socket.write(`${JSON.stringify(line)}\n`)
  }
  const receive = (line: Line): void => {
    if (line.op !== undefined) return void serve(line.id, line.op, line.params ?? {})
    const caller = waiting.get(line.id)
    waiting.delete(line.id)
    settle()
    if (line.error === undefined) caller?.resolve(line.result)
    else caller?.reject(fromWire(line.error))
  }
  const serve = async (id: number, op: string, params: Readonly<Record<string, unknown>>): Promise<void> => {
    try {
      send({ id, result: await answer(op, params) })
    } catch (error) {
      send({ id, error: toWire(error) })
    }
  }
  /* Only an answer that is awaited may hold the process. */
  const settle = (): void => void (waiting.size > 0 ? socket.ref() : socket.unref())
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
  })
  return {
    closed,
    request: (op, params) =>
      new Promise((resolve, reject) => {
        if (socket.destroyed) return reject(lost())
        last += 1
        waiting.set(last, { resolve, reject })
        settle()
        send({ id: last, op, params: params as Readonly<Record<string, unknown>> })
      }),
    close: () => void socket.destroy(),
  }
}

function lost(): MayflyError {
  return new MayflyError('ERR_MAYFLY_RUN_LOST', 'The run host is gone, and its containers with it', {
    hint: 'Its last words stand on standard error above. Run the tests again.',
  })
}

export function toWire(error: unknown): WireError {
  const e = error as Partial<MayflyError>
  const code = typeof e.code === 'string' && e.code.startsWith('ERR_MAYFLY_') ? e.code : 'ERR_MAYFLY_INTERNAL'
  const message = error instanceof Error ? error.message : String(error)
  return { code, message, hint: e.hint, details: plain(e.details ?? {}) }
}

/** Test reporters show an error's message and nothing else of it: the hint goes with it. */
export function fromWire({ code, message, hint, details }: WireError): MayflyError {
  return new MayflyError(code, hint === undefined ? message : `${message}\n${hint}`, { hint, details })
}

function plain(details: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  try {
    return JSON.parse(JSON.stringify(details)) as Readonly<Record<string, unknown>>
  } catch {
    return {}
  }
}

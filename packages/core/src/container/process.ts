import { isError, isMayflyError, MayflyError } from '../errors.js'
import { encodeExec, METHOD, Reader, type Connection } from '../native/index.js'
import { Writer } from '../native/bytes.js'
import { signalName, signalNumber } from './signals.js'
import { InputStream, OutputStream } from './streams.js'
import type { ExecOptions, ExitStatus, Process, TerminalSize } from './types.js'

const CREDIT = 1 << 20
const SIGKILL = 9
const INPUT_LOST = 0

/** Bits of an exec's and a container's flags on the wire. */
export const FLAG = { stdin: 1, terminal: 2, held: 4, detached: 8, notify: 16, files: 32 } as const

/** Limits of a running command. */
export interface Bounds {
  /** Milliseconds; then it is killed. */
  readonly timeout?: number | undefined
  readonly signal?: AbortSignal | undefined
  /** A stream is passed on to the command's input. */
  readonly input?: ExecOptions['stdin']
  /** This process does not stay for it. */
  readonly idle?: boolean | undefined
}

/**
 * Starts a compiled operation list in a container. Throws what the native program reports: ERR_MAYFLY_COMMAND_NOT_FOUND,
 * ERR_MAYFLY_COMMAND_NOT_EXECUTABLE, ERR_MAYFLY_NOT_RUNNING.
 */
export async function startProcess(
  connection: Connection, container: string, operations: Buffer, flags: number, bounds: Bounds = {},
): Promise<Process> {
  const terminal = (flags & FLAG.terminal) !== 0
  const grant = (bytes: number): void => connection.credit(id, bytes)
  const stdout = new OutputStream(grant)
  const stderr = new OutputStream(grant)
  const stdin = new InputStream({ data: (bytes) => connection.data(id, bytes), end: () => connection.end(id) }, terminal)
  let failure: MayflyError | undefined
  let settle: (exit: ExitStatus | Error) => void = () => undefined
  const ended = new Promise<ExitStatus | Error>((resolve) => void (settle = resolve))
  let over = false
  const { id, reply } = connection.open(METHOD.exec, encodeExec(container, flags, CREDIT, operations), {
    data: (payload) => {
      if (payload[0] === INPUT_LOST) return stdin.lose()
      const stream = payload[0] === 2 ? stderr : stdout
      stream.add(payload.subarray(1), payload.length)
    },
    credit: (bytes) => stdin.grant(bytes),
    end: (lost, payload) => {
      over = true
      stdin.close()
      const error = failure ?? lost
      for (const stream of [stdout, stderr]) stream.finish(error)
      settle(error ?? exitOf(payload))
    },
  }, bounds.idle)
  const exec = await started(reply, stdin, flags)
  const kill = async (signal: string | number = SIGKILL): Promise<void> => {
    if (over) return
    const fields = new Writer().str(container).u32(exec).u32(signalNumber(signal)).take()
    await connection.request(METHOD.signal, fields).catch((error: unknown) => {
      if (!over && !isOver(error)) throw error
    })
  }
  const stop = (reason: MayflyError): void => {
    failure ??= reason
    kill().catch(() => undefined)
  }
  const release = bound(bounds, stop)
  const { input } = bounds
  if (input !== undefined && typeof input !== 'string' && !(input instanceof Uint8Array)) {
    const failed = (cause: unknown): void => stop(new MayflyError('ERR_MAYFLY_ABORTED', 'The input of the command failed', { cause }))
    if (input.errored === null) input.once('error', failed).pipe(stdin)
    else failed(input.errored)
  }
  const exit = ended.then((how) => {
    release()
    if (isError(how)) throw how
    return how
  })
  exit.catch(() => undefined)
  return {
    stdin, stdout, stderr, exit, kill,
    resize: async (size) => {
      if (over) throw notRunning()
      await resize(connection, container, exec, size)
    },
    [Symbol.asyncDispose]: async () => {
      for (const stream of [stdout, stderr]) stream.resume()
      await kill().catch(() => undefined)
      await exit.catch(() => undefined)
    },
  }
}

/** Starts one that outlives this process and prints for nobody. */
export async function startDetached(connection: Connection, container: string, operations: Buffer, flags: number): Promise<void> {
  await connection.request(METHOD.exec, encodeExec(container, flags | FLAG.detached, CREDIT, operations))
}

/** `exec` 0 is the container's own process. Throws ERR_MAYFLY_NOT_RUNNING. */
export async function resize(connection: Connection, container: string, exec: number, { columns, rows }: TerminalSize): Promise<void> {
  if (![columns, rows].every((one) => Number.isInteger(one) && one >= 0 && one <= 0xffff)) {
    throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `A terminal of ${columns} × ${rows}: columns and rows are whole numbers up to 65535`)
  }
  await connection.request(METHOD.resize, new Writer().str(container).u32(exec).u16(columns).u16(rows).take())
}

export function notRunning(): MayflyError {
  return new MayflyError('ERR_MAYFLY_NOT_RUNNING', 'The process has ended')
}

async function started(reply: Promise<Buffer>, stdin: InputStream, flags: number): Promise<number> {
  try {
    const reader = new Reader(await reply)
    const exec = reader.u32()
    stdin.grant(reader.u32())
    if ((flags & FLAG.stdin) === 0) stdin.lose()
    return exec
  } catch (error) {
    stdin.close()
    throw error
  }
}

function bound({ timeout, signal }: Bounds, stop: (reason: MayflyError) => void): () => void {
  const abort = (): void => stop(new MayflyError('ERR_MAYFLY_ABORTED', 'exec was aborted', { cause: signal?.reason }))
  const timer = timeout === undefined ? undefined
    : setTimeout(() => stop(new MayflyError('ERR_MAYFLY_TIMEOUT', `exec took longer than ${timeout} ms`)), timeout)
  signal?.addEventListener('abort', abort, { once: true })
  if (signal?.aborted === true) abort()
  return () => {
    clearTimeout(timer)
    signal?.removeEventListener('abort', abort)
  }
}

/** How a process ended, as the end of its stream says; killed, when that says nothing. */
export function exitOf(payload: Buffer | undefined): ExitStatus {
  const known = payload !== undefined && payload.length >= 8
  return { code: known ? payload.readInt32LE(0) : -1, signal: signalName(known ? payload.readInt32LE(4) : SIGKILL), oomKilled: false }
}

function isOver(error: unknown): boolean {
  return isMayflyError(error) && (error.details['errno'] === 'ESRCH' || error.details['errno'] === 'ENOENT')
}

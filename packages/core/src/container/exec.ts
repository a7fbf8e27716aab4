import { isMayflyError, MayflyError } from '../errors.js'
import { encodeExec, METHOD, Reader, type Connection } from '../native/index.js'
import { Writer } from '../native/bytes.js'
import type { ExecOptions, ExecResult } from './types.js'

const CREDIT = 1 << 20
const SIGKILL = 9

/** Runs a compiled operation list in a container and gathers what it prints. */
export async function execute(
  connection: Connection, container: string, operations: Buffer, options: ExecOptions,
): Promise<ExecResult> {
  const output = { stdout: [] as Buffer[], stderr: [] as Buffer[] }
  // How it ended comes with the stream's end, which may lie in the same chunk as the reply.
  let code = -1
  let ending = SIGKILL
  let finish: (error?: Error) => void = () => undefined
  const finished = new Promise<Error | undefined>((resolve) => void (finish = resolve))
  const stdin = options.input === undefined ? 0 : 1
  const fields = encodeExec(container, stdin, CREDIT, operations)
  const { id, reply } = connection.open(METHOD.exec, fields, {
    data: (payload) => {
      output[payload[0] === 2 ? 'stderr' : 'stdout'].push(payload.subarray(1))
      connection.credit(id, payload.length)
    },
    end: (error, payload) => {
      if (payload !== undefined && payload.length >= 8) {
        code = payload.readInt32LE(0)
        ending = payload.readInt32LE(4)
      }
      finish(error)
    },
  })
  let started: Buffer
  try {
    started = await reply
  } catch (error) {
    return missingCommand(error)
  }
  const exec = new Reader(started).u32()
  let ended: MayflyError | undefined
  const kill = (reason: MayflyError): void => {
    ended ??= reason
    const signal = new Writer().str(container).u32(exec).u32(SIGKILL).take()
    connection.request(METHOD.signal, signal).catch(() => undefined)
  }
  const abort = (): void => kill(new MayflyError('ERR_MAYFLY_ABORTED', 'exec was aborted', { cause: options.signal?.reason }))
  const timer = options.timeout === undefined ? undefined
    : setTimeout(() => kill(new MayflyError('ERR_MAYFLY_TIMEOUT', `exec took longer than ${options.timeout} ms`)), options.timeout)
  options.signal?.addEventListener('abort', abort, { once: true })
  if (options.signal?.aborted === true) abort()
  if (options.input !== undefined) sendInput(connection, id, options.input)
  const lost = await finished
  clearTimeout(timer)
  options.signal?.removeEventListener('abort', abort)
  if (ended !== undefined) throw ended
  if (lost !== undefined) throw lost
  return {
    exitCode: ending === 0 ? code : 128 + ending,
    stdout: Buffer.concat(output.stdout).toString('utf8'),
    stderr: Buffer.concat(output.stderr).toString('utf8'),
  }
}

function sendInput(connection: Connection, id: number, input: string | Uint8Array): void {
  const bytes = Buffer.from(input)
  for (let at = 0; at < bytes.length; at += 32_768) connection.data(id, bytes.subarray(at, at + 32_768))
  connection.end(id)
}

function missingCommand(error: unknown): ExecResult {
  const exitCode = isMayflyError(error) ? error.details['exitCode'] : undefined
  if (typeof exitCode !== 'number' || !(error instanceof Error)) throw error
  return { exitCode, stdout: '', stderr: `${error.message}\n` }
}

import { isError, isMayflyError } from '../errors.js'
import type { Connection } from '../native/index.js'
import { FLAG, startProcess } from './process.js'
import { signalNumber } from './signals.js'
import type { ExecOptions, ExecResult, Process } from './types.js'

/** Starts a compiled operation list in a container with the streams its options name. */
export async function openProcess(
  connection: Connection, container: string, operations: Buffer, options: ExecOptions, open: boolean, idle = false,
): Promise<Process> {
  const { stdin: given, input = given, tty, timeout, signal } = options
  const flags = (open || input !== undefined ? FLAG.stdin : 0) | (isTerminal(tty) ? FLAG.terminal : 0)
  const process = await startProcess(connection, container, operations, flags, { timeout, signal, input, idle })
  if (input !== undefined && (typeof input === 'string' || input instanceof Uint8Array)) process.stdin.end(input)
  return process
}

/** Runs a compiled operation list in a container and gathers what it prints. `idle`: this process does not stay for it. */
export async function execute(
  connection: Connection, container: string, operations: Buffer, options: ExecOptions, idle = false,
): Promise<ExecResult> {
  let process: Process
  try {
    process = await openProcess(connection, container, operations, options, false, idle)
  } catch (error) {
    return missingCommand(error)
  }
  const [stdout, stderr, exit] = await Promise.all([gather(process, 'stdout'), gather(process, 'stderr'), process.exit])
  return { exitCode: exitCodeOf(exit), stdout, stderr }
}

/** A stream that fails before its command has started is heard when it has. */
export function heedInput({ stdin }: ExecOptions): void {
  if (stdin !== undefined && typeof stdin !== 'string' && !(stdin instanceof Uint8Array)) stdin.on('error', () => undefined)
}

/** As a shell has it: 128 + the signal's number for what a signal ended. */
export function exitCodeOf({ code, signal }: { readonly code: number, readonly signal: string | undefined }): number {
  return signal === undefined ? code : 128 + signalNumber(signal)
}

export function isTerminal(tty: ExecOptions['tty']): boolean {
  return tty !== undefined && tty !== false
}

async function gather(process: Process, name: 'stdout' | 'stderr'): Promise<string> {
  const pieces: Buffer[] = []
  const stream = process[name]
  stream.on('data', (piece: Buffer) => void pieces.push(piece))
  await new Promise<void>((resolve) => stream.once('close', resolve))
  return Buffer.concat(pieces).toString('utf8')
}

function missingCommand(error: unknown): ExecResult {
  const exitCode = isMayflyError(error) ? error.details['exitCode'] : undefined
  if (typeof exitCode !== 'number' || !isError(error)) throw error
  return { exitCode, stdout: '', stderr: `${error.message}\n` }
}

import { spawn, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { isMayflyError, MayflyError, type ErrorCode } from '../errors.js'
import { RUN_VARIABLE } from './client.js'
import type { HostOptions, RunAddress } from './host.js'
import type { RunSummary } from './journal.js'
import { closeLeftOpen } from './left-open.js'
import { fromWire, type WireError } from './wire.js'

/** A running run host, held by this process: it ends when this process does, in whatever way. */
export interface LaunchedRun {
  /** What workers are told from now on. */
  readonly address: RunAddress
  /** After a change of a configuration or of a service's inputs: what changed begins anew, all else goes on. Throws what is wrong with it, and then all goes on. */
  reload(): Promise<void>
  /** Ends the run host and everything it started, but for what MAYFLY_KEEP has stay. Answers the run's figures, unless it was lost. */
  close(): Promise<RunSummary | undefined>
}

/** The run host's last line. */
export interface Farewell {
  readonly summary: RunSummary
}

/** The run host's first line on its standard output. */
export type Greeting =
  | { readonly address: RunAddress }
  | { readonly error: WireError }

/**
 * Starts the run host as a child process. Its standard input is the lifeline: never written to again, closed by
 * the kernel with this process. Keeps nobody alive. Throws the run host's own error when it cannot start.
 */
export async function launchRun(options: HostOptions): Promise<LaunchedRun> {
  const entry = fileURLToPath(new URL('./host.js', import.meta.url))
  const environment = { ...process.env }
  delete environment[RUN_VARIABLE]
  // Its own session: what MAYFLY_KEEP has stay survives the terminal.
  const child = spawn(process.execPath, [entry], { stdio: ['pipe', 'pipe', 'inherit'], env: environment, detached: true })
  const gone = new Promise<void>(resolve => child.once('close', () => resolve()))
  child.stdin.on('error', () => undefined)
  child.stdin.write(`${JSON.stringify(options)}\n`)
  const lines = linesOf(child)
  const greeting = await greetingOf(lines, gone)
  if ('error' in greeting) throw fromWire(greeting.error)
  release(child)
  let { address } = greeting
  let closed: Promise<RunSummary | undefined> | undefined
  const reload = async (): Promise<void> => {
    hold(child)
    child.stdin.write('reload\n')
    const answer = await greetingOf(lines, gone)
    release(child)
    if ('error' in answer) throw fromWire(answer.error)
    address = answer.address
  }
  const close = async (): Promise<RunSummary | undefined> => {
    hold(child)
    // Tests that ran in this process have gone, and their clients of what the run or a worker shares.
    await closeLeftOpen(Object.values(address.addresses).flatMap(slots => Object.values(slots)).flatMap(names => Object.values(names)).map(one => ({ address: one })))
    child.stdin.write('close\n')
    const last = await Promise.race([lines.next(), gone])
    child.stdin.end()
    const farewell = last === undefined ? undefined : JSON.parse(last) as Farewell
    // One that stays is nobody's to wait for.
    if (farewell === undefined || farewell.summary.kept.length === 0) await gone
    else release(child)
    return farewell?.summary
  }
  return { get address() { return address }, reload, close: () => closed ??= close() }
}

interface Lines {
  next(): Promise<string>
}

/** What a child says, line by line. */
function linesOf(child: ChildProcess): Lines {
  const lines: string[] = []
  let rest = ''
  let wake = (): void => undefined
  child.stdout?.on('data', (chunk: Buffer) => {
    const parts = (rest + chunk.toString()).split('\n')
    rest = parts.pop() ?? ''
    lines.push(...parts)
    wake()
  })
  return {
    next: async () => {
      while (lines.length === 0) await new Promise<void>(resolve => void (wake = resolve))
      return lines.shift() ?? ''
    },
  }
}

async function greetingOf(lines: Lines, gone: Promise<void>): Promise<Greeting> {
  const line = await Promise.race([lines.next(), gone])
  if (line !== undefined) return JSON.parse(line) as Greeting
  throw new MayflyError('ERR_MAYFLY_RUN_LOST', 'The run host ended', {
    hint: 'Its last words stand on standard error above.',
  })
}

/** Codes of errors that say what this machine lacks, and not what is wrong with the tests. */
const LACKING: readonly ErrorCode[] = ['ERR_MAYFLY_NOT_LINUX', 'ERR_MAYFLY_UNPRIVILEGED', 'ERR_MAYFLY_NATIVE_MISSING', 'ERR_MAYFLY_NATIVE_FAILED', 'ERR_MAYFLY_UNSUPPORTED']

/**
 * Why tests with containers are to be skipped here, when MAYFLY_UNAVAILABLE=skip says so and the error is this machine's.
 * Otherwise, and in CI, throws it with advice.
 */
export function reasonToSkip(error: unknown, environment: NodeJS.ProcessEnv = process.env): string {
  if (!isMayflyError(error) || !LACKING.includes(error.code)) throw error
  const wanted = environment['MAYFLY_UNAVAILABLE'] === 'skip'
  const inCi = !['', '0', 'false', undefined].includes(environment['CI'])
  if (wanted && !inCi) return error.message.split('\n')[0] ?? error.message
  const more = wanted ? 'MAYFLY_UNAVAILABLE=skip is not heeded where CI is set: tests that do not run must not look as if they had.' : '`mayfly doctor` says what this machine lacks; MAYFLY_UNAVAILABLE=skip skips tests with containers.'
  throw new MayflyError(error.code, `${error.message}\n${more}`, { hint: [error.hint, more].filter(one => one !== undefined).join(' '), cause: error, details: error.details })
}

function hold(child: ChildProcess): void {
  child.ref()
  for (const stream of [child.stdin, child.stdout]) (stream as unknown as { ref?(): void } | null)?.ref?.()
}

function release(child: ChildProcess): void {
  child.unref()
  for (const stream of [child.stdin, child.stdout]) (stream as unknown as { unref?(): void } | null)?.unref?.()
}

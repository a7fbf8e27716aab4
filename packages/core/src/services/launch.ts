import { spawn, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { MayflyError } from '../errors.js'
import { RUN_VARIABLE } from './client.js'
import type { HostOptions, RunAddress } from './host.js'
import { fromWire, type WireError } from './wire.js'

/** A running run host, held by this process: it ends when this process does, in whatever way. */
export interface LaunchedRun {
  readonly address: RunAddress
  /** Ends the run host and everything it started. Returns when it is gone. */
  close(): Promise<void>
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
  const child = spawn(process.execPath, [entry], { stdio: ['pipe', 'pipe', 'inherit'], env: environment })
  const gone = new Promise<void>(resolve => child.once('close', () => resolve()))
  child.stdin.on('error', () => undefined)
  child.stdin.write(`${JSON.stringify(options)}\n`)
  const greeting = await firstLine(child, gone)
  if ('error' in greeting) throw fromWire(greeting.error)
  release(child)
  return {
    address: greeting.address,
    close: async () => {
      child.ref()
      child.stdin.end()
      await gone
    },
  }
}

async function firstLine(child: ChildProcess, gone: Promise<void>): Promise<Greeting> {
  let text = ''
  const line = new Promise<string>(resolve => {
    child.stdout?.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      if (text.includes('\n')) resolve(text)
    })
  })
  await Promise.race([line, gone])
  if (text.includes('\n')) return JSON.parse(text) as Greeting
  throw new MayflyError('ERR_MAYFLY_RUN_LOST', 'The run host ended while it started', {
    hint: 'Its last words stand on standard error above.',
  })
}

function release(child: ChildProcess): void {
  child.unref()
  for (const stream of [child.stdin, child.stdout]) (stream as unknown as { unref?(): void } | null)?.unref?.()
}

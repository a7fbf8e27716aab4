import { constants } from 'node:os'
import type { Readable, Writable } from 'node:stream'

import type { ExitStatus, TerminalSize } from '@mayfly/core'

import { detachFilter, parseDetachKeys } from './detach-keys.js'

/** What a process in a container has for us. */
export interface Streams {
  readonly stdin: Writable | undefined
  readonly stdout: Readable
  readonly stderr: Readable
  readonly exit: Promise<ExitStatus>
  resize(size: TerminalSize): Promise<void>
}

/** Which of our streams have to do with it. */
export interface Passed {
  readonly stdin: boolean
  readonly stdout: boolean
  readonly stderr: boolean
}

export interface SessionOptions {
  /** Default: both. What is not passed on is read all the same. */
  readonly passed?: Pick<Passed, 'stdout' | 'stderr'> | undefined
  /** Pass our input on. */
  readonly input: boolean
  readonly tty: boolean
  /** Docker's form; empty: none. */
  readonly detachKeys?: string | undefined
  /** Whether the end of our input is the end of the container's. */
  readonly closes: boolean
}

export const DETACH_KEYS = 'ctrl-p,ctrl-q'
const PROXIED = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const

/** The size of our terminal; nothing where we have none. */
export function ownSize(): TerminalSize | undefined {
  const { columns, rows } = process.stdout
  return process.stdout.isTTY && columns > 0 ? { columns, rows } : undefined
}

/** Refuses a terminal for input that is none: Docker's words, and its exit code. */
export function requireTerminal(interactive: boolean | undefined, tty: boolean | undefined): void {
  if (interactive !== true || tty !== true || process.stdin.isTTY) return
  throw Object.assign(new Error('the input device is not a TTY'), { exitCode: 1, hint: 'Leave out -t for input from a file or a pipe.' })
}

/** Refuses keys that are none before anything is begun. */
export function checkDetachKeys(keys: string | undefined): void {
  if (keys !== undefined) parseDetachKeys(keys)
}

/** Sends what would end us to the container instead. */
export function proxySignals(send: (signal: string) => Promise<unknown>): void {
  for (const name of PROXIED) process.on(name, () => { send(name).catch(() => undefined) })
}

/**
 * Connects our standard streams with a process's until it has ended and all its output is out. Gives how it ended, or
 * nothing when the detach keys were typed.
 */
export async function join(streams: Streams, options: SessionOptions): Promise<ExitStatus | undefined> {
  const { stdin, stdout, stderr, exit } = streams
  let leave: (error?: Error) => void = () => undefined
  const left = new Promise<undefined>((resolve, reject) => {
    leave = (error) => { if (error === undefined) resolve(undefined); else reject(error) }
  })
  const undo: (() => void)[] = []
  process.stdout.once('error', leave)
  const over = Promise.all([exit, passed(stdout, process.stdout, options.passed?.stdout), passed(stderr, process.stderr, options.passed?.stderr)])
  over.catch(() => undefined)
  if (options.input && stdin !== undefined) undo.push(passInput(stdin, options, leave))
  if (options.tty && process.stdout.isTTY) undo.push(followSize(streams))
  try {
    return await Promise.race([over.then(([status]) => status), left])
  } finally {
    for (const one of undo) one()
    for (const stream of [stdout, stderr]) stream.unpipe()
  }
}

/** As a shell has it. */
export function exitCode({ code, signal }: ExitStatus): number {
  return signal === undefined ? code : 128 + (constants.signals[signal as keyof typeof constants.signals] ?? 0)
}

function passed(from: Readable, to: NodeJS.WriteStream, wanted = true): Promise<void> {
  return new Promise((resolve) => {
    from.once('end', resolve).once('close', resolve)
    if (wanted) from.pipe(to, { end: false })
    else from.resume()
  })
}

function passInput(to: Writable, { tty, detachKeys = DETACH_KEYS, closes }: SessionOptions, leave: () => void): () => void {
  const from = process.stdin
  const raw = tty && from.isTTY
  if (!raw) {
    from.pipe(to, { end: closes })
    // A pipe that is still open must not keep us here.
    return () => { from.unpipe(to); from.destroy() }
  }
  const filter = detachFilter(parseDetachKeys(detachKeys), (bytes) => {
    if (!to.write(bytes)) { from.pause(); to.once('drain', () => from.resume()) }
  })
  const typed = (bytes: Buffer): void => { if (filter(bytes)) leave() }
  from.setRawMode(true)
  from.on('data', typed)
  return () => {
    from.off('data', typed)
    from.setRawMode(false)
    from.destroy()
  }
}

function followSize(streams: Streams): () => void {
  const follow = (): void => {
    const size = ownSize()
    if (size !== undefined) streams.resize(size).catch(() => undefined)
  }
  process.stdout.on('resize', follow)
  follow()
  return () => { process.stdout.off('resize', follow) }
}

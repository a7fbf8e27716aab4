import { isMayflyError, MayflyError } from '../errors.js'
import type { Image } from '../images/index.js'
import { METHOD, privilege, type Connection } from '../native/index.js'
import { Writer } from '../native/bytes.js'
import { explainListeners } from '../network/listeners.js'
import { absolute } from '../sandbox/invalid.js'
import { formatSize, parseSize } from '../units.js'
import type { RunningContainer } from './handle.js'
import { exposedPorts, optionPorts } from './own-ports.js'
import { existsInside } from './probe.js'
import type { Container, ExitStatus, LogLine, RunOptions, WaitContext, WaitStrategy } from './types.js'
import { listTcp, listUnix } from './sockets.js'
import { wait } from './wait.js'

const DEFAULT_TIMEOUT = 60_000
const SHOWN_LINES = 50
const WATCH_LOOPBACK = 1
/** Without a reason, every abort would make a DOMException, 0.1 ms. */
const OVER = 'over'

/**
 * Waits until the container is ready. Throws ERR_MAYFLY_CONTAINER_EXITED with its last log lines as soon as it ends,
 * ERR_MAYFLY_OUT_OF_MEMORY when its limit ended it, ERR_MAYFLY_TIMEOUT, ERR_MAYFLY_ABORTED.
 */
export async function waitReady(connection: Connection, container: RunningContainer, image: Image, options: RunOptions): Promise<void> {
  const strategy = options.ready ?? defaultStrategy(container, image, options)
  if (strategy === undefined) return
  const over = new AbortController()
  const cancels: (() => void)[] = []
  let seen: string | undefined
  const context: WaitContext = {
    container,
    ports: optionPorts(options),
    exposed: exposedPorts(image),
    signal: over.signal,
    healthy: container.health === undefined ? undefined : () => container.settled(over.signal, ({ exitCode, output }) => {
      seen = exitCode === 0 ? undefined : `exit code ${exitCode}${output.trim() === '' ? '' : `, ${JSON.stringify(output.trim().slice(-200))}`}`
    }),
    listening: (port, signal = over.signal) => listening(connection, container, port, signal, isOpen(options)),
    exists: (path) => existsInside(connection, container.id, absolute('path of wait.file', path)),
    sockets: () => listUnix(connection, container.id),
    saw: (what) => void (seen = what),
  }
  const timeout = options.startTimeout ?? DEFAULT_TIMEOUT
  const ended = new Promise<never>((_resolve, reject) => {
    const timer = setTimeout(() => reject(new MayflyError('ERR_MAYFLY_TIMEOUT',
      `${container.image} was not ready within ${timeout} ms, waiting for ${strategy.description}`)), Math.min(timeout, 2 ** 31 - 1))
    cancels.push(() => clearTimeout(timer))
    const abort = (): void => reject(new MayflyError('ERR_MAYFLY_ABORTED', `The start of ${container.image} was aborted`, {
      cause: options.signal?.reason,
    }))
    options.signal?.addEventListener('abort', abort, { once: true })
    cancels.push(() => options.signal?.removeEventListener('abort', abort))
    if (options.signal?.aborted === true) abort()
    void container.refusal.then(reject)
    if (strategy.acceptsExit !== true) void container.ending.then((exit) => reject(new Exited(exit)))
  })
  try {
    await Promise.race([strategy.ready(context), ended])
    // Who is ready by what it logs, say, may listen since less than a look ago: its published ports do, once it is asked.
    if (container.isPublished && (options.ready !== undefined || container.health !== undefined)) await listTcp(connection, container.id).catch(() => undefined)
  } catch (error) {
    throw await explain(error, { container, options, waitedFor: `${strategy.description}${seen === undefined ? '' : `, and last seeing ${seen}`}`, seen }, () => whatListens(connection, container, image, options))
  } finally {
    over.abort(OVER)
    for (const cancel of cancels) cancel()
  }
}

/** HEALTHCHECK, else all ports of the options, else any port of the image, else nothing to wait for. */
function defaultStrategy(container: Container, image: Image, options: RunOptions): WaitStrategy | undefined {
  if (container.health !== undefined) return wait.healthy()
  const ports = optionPorts(options)
  if (ports.length > 0) return wait.port(...ports)
  const exposed = exposedPorts(image)
  return exposed.length === 0 ? undefined : wait.any(...exposed.map((port) => wait.port(port)))
}

/** Whether others are to get through to it, for which a socket at the container's loopback is none. */
function isOpen({ network }: RunOptions): boolean {
  return network === undefined || typeof network === 'object'
}

/** What keeps others out, as the sockets inside tell. */
async function whatListens(connection: Connection, container: Container, image: Image, options: RunOptions): Promise<string | undefined> {
  if (!isOpen(options)) return undefined
  const named = optionPorts(options)
  try {
    const [tcp, unix] = await Promise.all([listTcp(connection, container.id), listUnix(connection, container.id)])
    return explainListeners(named.length > 0 ? named : exposedPorts(image), tcp, unix)
  } catch {
    return undefined
  }
}

async function listening(connection: Connection, container: Container, port: number, signal: AbortSignal, open: boolean): Promise<void> {
  if (signal.aborted) throw new MayflyError('ERR_MAYFLY_ABORTED', 'The wait was given up')
  const { id, reply } = connection.open(METHOD.portWatch, new Writer().str(container.id).u16(port).u8(open ? 0 : WATCH_LOOPBACK).take())
  const cancel = (): void => connection.end(id)
  signal.addEventListener('abort', cancel, { once: true })
  try {
    await reply
  } finally {
    signal.removeEventListener('abort', cancel)
  }
}

class Exited extends Error {
  readonly exit: ExitStatus
  constructor(exit: ExitStatus) {
    super('exited')
    this.exit = exit
  }
}

/** A wait that failed, and what is known of it. */
interface Failed {
  readonly container: RunningContainer
  readonly options: RunOptions
  readonly waitedFor: string
  readonly seen: string | undefined
}

async function explain(error: unknown, failed: Failed, sockets: () => Promise<string | undefined>): Promise<unknown> {
  const { container, seen } = failed
  const exit = error instanceof Exited ? error.exit : sawTheEnd(error) ? await container.ending : undefined
  const known = error instanceof AggregateError ? error.errors.find(isMayflyError) ?? error : error
  if (exit === undefined && !isMayflyError(known)) return error
  const log = await lastLines(container)
  if (exit !== undefined) return ended(exit, failed, log)
  const { code, message, hint, details } = known as MayflyError
  const saying = code === 'ERR_MAYFLY_TIMEOUT' && seen !== undefined ? `${message}, and last seeing ${seen}` : message
  return new MayflyError(code, withLog(saying, log), {
    cause: known, hint: hint ?? (code === 'ERR_MAYFLY_TIMEOUT' ? await sockets() : undefined),
    details: { ...details, log, containerId: container.id, ...(seen === undefined ? {} : { seen }) },
  })
}

/** Whether a strategy failed because the container did: its own error may be quicker than the news of the exit. */
function sawTheEnd(error: unknown): boolean {
  if (error instanceof AggregateError) return error.errors.some(sawTheEnd)
  return isMayflyError(error) && (error.details['errno'] === 'ESRCH' || error.code === 'ERR_MAYFLY_CONTAINER_EXITED')
}

function ended(exit: ExitStatus, { container, options, waitedFor, seen }: Failed, log: readonly string[]): MayflyError {
  const how = exit.signal === undefined ? `exit code ${exit.code}` : `signal ${exit.signal}`
  const limit = options.memory === undefined ? '' : ` of ${formatSize(parseSize(options.memory))}`
  const what = exit.oomKilled ? `${container.image} exceeded its memory limit${limit} and was killed (${how})`
    : `${container.image} ended with ${how}`
  const message = `${what} before it was ready, waiting for ${waitedFor}`
  return new MayflyError(exit.oomKilled ? 'ERR_MAYFLY_OUT_OF_MEMORY' : 'ERR_MAYFLY_CONTAINER_EXITED', withLog(message, log), {
    hint: exit.oomKilled ? 'Raise `memory`, or make the process need less.'
      : exit.code === 0 ? 'The command did its work and ended: a service has to stay in the foreground.'
        : lackingIds() ?? 'Look for the reason in its log lines; check `command`, `env` and what it expects to find.',
    details: { exitCode: exit.code, signal: exit.signal, oomKilled: exit.oomKilled, log, containerId: container.id, ...(seen === undefined ? {} : { seen }) },
  })
}

/** With a single id, changing users is what an image most likely failed at. */
function lackingIds(): string | undefined {
  const own = privilege()
  return own.mode === 'user' ? own.map.lacking : undefined
}

function withLog(message: string, log: readonly string[]): string {
  return log.length === 0 ? `${message}. It printed nothing.` : `${message}. Its last log lines:\n${log.map((line) => `  ${line}`).join('\n')}`
}

async function lastLines(container: Container): Promise<string[]> {
  const lines: LogLine[] = []
  try {
    for await (const line of container.logs({ tail: SHOWN_LINES })) lines.push(line)
  } catch {
    // What is explained matters more than its log.
  }
  return lines.map(({ text }) => text)
}

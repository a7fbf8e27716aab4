import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import type { Container, ContainerEvent, CopyInOptions, CopyOptions, CopySource, ExecOptions, LogLine, LogOptions, OutputOptions, OutputPiece } from '../container/types.js'
import { MayflyError } from '../errors.js'
import type { WireCopySource } from './remote-copies.js'

/** Methods of a container that a test may call through the run host; arguments and results are JSON. */
export const REMOTE_METHODS = ['exec', 'logs', 'output', 'kill', 'pause', 'unpause', 'stats', 'stop', 'exit', 'socket', 'commit', 'copyIn', 'copyOut', 'restart', 'rename', 'update', 'top'] as const

/** What JSON cannot say of an exec's options. */
export type WireExecOptions = Omit<ExecOptions, 'stdin' | 'input' | 'signal'> & { readonly input?: { readonly base64: string } }
/** A log line with its time as milliseconds since 1970. */
export type WireLogLine = Omit<LogLine, 'time'> & { readonly time: number }
/** Times as milliseconds since 1970. */
export type WireLogOptions = Omit<LogOptions, 'since' | 'until'> & { readonly since?: number; readonly until?: number }
export type WirePiece = Omit<OutputPiece, 'time' | 'bytes'> & { readonly time: number; readonly base64: string }

/** Its time as milliseconds since 1970. */
export type WireEvent = Omit<ContainerEvent, 'time'> & { readonly time: number }

/** Calls a container's method on behalf of a worker. `logs`, `output`, `events` and `archive` answer with an iterable. */
export async function callContainer(
  container: Container, method: string, args: readonly unknown[], signal: AbortSignal,
): Promise<unknown> {
  if (method === 'events') return untilLeft(container.events({ signal }), plainEvent, signal)
  if (method === 'archive') return untilLeft(await container.archive(args[0] as string, { ...args[1] as CopyOptions | undefined, signal }), inBase64, signal)
  if (method === 'copyOut') return await container.copyOut(args[0] as string, args[1] as string, { ...args[2] as CopyOptions | undefined, signal })
  if (method === 'copyIn') return await container.copyIn(await sourceOf(args[0] as WireCopySource), args[1] as string, { ...args[2] as CopyInOptions | undefined, signal })
  if (!(REMOTE_METHODS as readonly string[]).includes(method)) {
    throw new MayflyError('ERR_MAYFLY_UNSUPPORTED', `A leased container has no method "${method}"`)
  }
  if (method === 'exit') return await container.exit
  if (method === 'logs') return untilLeft(container.logs(args[0] as LogOptions | undefined), plainLine, signal)
  if (method === 'output') return untilLeft(container.output(args[0] as OutputOptions | undefined), plainPiece, signal)
  if (method === 'exec') return await container.exec(args[0] as readonly string[], { ...execOptions(args[1]), signal })
  const call: unknown = Reflect.get(container, method)
  if (typeof call !== 'function') {
    throw new MayflyError('ERR_MAYFLY_UNSUPPORTED', `This engine's containers have no method "${method}"`)
  }
  return (await Reflect.apply(call, container, args)) as unknown
}

/** An exec's options as they came over the wire. */
export function execOptions(given: unknown): ExecOptions {
  const { input, ...options } = (given ?? {}) as WireExecOptions
  return { ...options, ...(input === undefined ? {} : { input: Buffer.from(input.base64, 'base64') }) }
}

async function sourceOf(source: WireCopySource): Promise<CopySource> {
  if (typeof source === 'string') return source
  return 'tar' in source ? { tar: createReadStream(source.tar.file) } : { content: await readFile(source.content.file) }
}

function plainEvent({ time, ...rest }: ContainerEvent): WireEvent {
  return { ...rest, time: time.getTime() }
}

function inBase64(bytes: unknown): string {
  return Buffer.from(bytes as Uint8Array).toString('base64')
}

function plainLine(line: LogLine): WireLogLine {
  return { ...line, time: line.time.getTime() }
}

function plainPiece({ time, bytes, ...rest }: OutputPiece): WirePiece {
  return { ...rest, time: time.getTime(), base64: Buffer.from(bytes).toString('base64') }
}

async function* untilLeft<T, P>(source: AsyncIterable<T>, plain: (item: T) => P, signal: AbortSignal): AsyncGenerator<P> {
  const items = source[Symbol.asyncIterator]()
  // A silent container's next line may never come: who left the loop is not waited for.
  const left = new Promise<{ readonly done: true }>(resolve => signal.addEventListener('abort', () => resolve({ done: true }), { once: true }))
  try {
    for (;;) {
      const next = await Promise.race([items.next(), left])
      if (next.done === true) return
      yield plain(next.value)
    }
  } finally {
    if (signal.aborted) void items.return?.(undefined)
  }
}

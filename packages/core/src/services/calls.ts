import type { Container, ExecOptions, LogLine, LogOptions } from '../container/types.js'
import { MayflyError } from '../errors.js'

/** Methods of a container that a test may call through the run host; arguments and results are JSON. */
export const REMOTE_METHODS = ['exec', 'logs', 'kill', 'pause', 'unpause', 'stats', 'stop', 'exit'] as const

/** What JSON cannot say of an exec's options. */
export type WireExecOptions = Omit<ExecOptions, 'input' | 'signal'> & { readonly input?: { readonly base64: string } }
/** A log line with its time as milliseconds since 1970. */
export type WireLogLine = Omit<LogLine, 'time'> & { readonly time: number }

/** Calls a container's method on behalf of a worker. `logs` answers with an iterable. */
export async function callContainer(
  container: Container, method: string, args: readonly unknown[], signal: AbortSignal,
): Promise<unknown> {
  if (!(REMOTE_METHODS as readonly string[]).includes(method)) {
    throw new MayflyError('ERR_MAYFLY_UNSUPPORTED', `A leased container has no method "${method}"`)
  }
  if (method === 'exit') return await container.exit
  if (method === 'logs') return plainLines(container, args[0] as LogOptions | undefined, signal)
  if (method === 'exec') {
    const { input, ...options } = (args[1] ?? {}) as WireExecOptions
    const bytes = input === undefined ? {} : { input: Buffer.from(input.base64, 'base64') }
    return await container.exec(args[0] as readonly string[], { ...options, ...bytes, signal })
  }
  const call: unknown = Reflect.get(container, method)
  if (typeof call !== 'function') {
    throw new MayflyError('ERR_MAYFLY_UNSUPPORTED', `This engine's containers have no method "${method}"`)
  }
  return (await Reflect.apply(call, container, args)) as unknown
}

async function* plainLines(container: Container, options: LogOptions | undefined, signal: AbortSignal): AsyncGenerator<WireLogLine> {
  const lines = container.logs(options)[Symbol.asyncIterator]()
  // A silent container's next line may never come: who left the loop is not waited for.
  const left = new Promise<{ readonly done: true }>(resolve => signal.addEventListener('abort', () => resolve({ done: true }), { once: true }))
  try {
    for (;;) {
      const next = await Promise.race([lines.next(), left])
      if (next.done === true) return
      yield { ...next.value, time: next.value.time.getTime() }
    }
  } finally {
    if (signal.aborted) void lines.return?.(undefined)
  }
}

import { Readable } from 'node:stream'
import type { ContainerEvent, EventOptions, ExecOptions, Fault, Faults, LogLine, LogOptions, Logs, OutputOptions, OutputPiece } from '../container/types.js'
import type { WireEvent, WireLogLine, WirePiece } from './calls.js'
import type { Lease } from './client.js'

/* The worker's side of what the run host does with a leased container. */

export async function execOn(lease: Lease, command: readonly string[], { stdin, input, signal, ...options }: ExecOptions = {}): Promise<unknown> {
  const given = input ?? (stdin instanceof Readable ? Buffer.concat(await stdin.toArray() as Uint8Array[]) : stdin)
  const bytes = given === undefined ? {} : { input: { base64: Buffer.from(given).toString('base64') } }
  return await lease.call('exec', [command, { ...options, ...bytes }], signal)
}

/** The log as lines, and as their text. */
export function logsOf(lease: Lease, options: LogOptions = {}): Logs {
  const text = async function* (): AsyncGenerator<string> {
    for await (const { text } of linesOf(lease, options)) yield `${text}\n`
  }
  return { [Symbol.asyncIterator]: () => linesOf(lease, options), stream: () => Readable.from(text(), { objectMode: false }) }
}

/** Dates as milliseconds. */
function plainTimes<T extends OutputOptions>({ since, until, ...options }: T): object {
  return { ...options, ...(since === undefined ? {} : { since: Number(since) }), ...(until === undefined ? {} : { until: Number(until) }) }
}

export async function* piecesOf(lease: Lease, options: OutputOptions = {}): AsyncGenerator<OutputPiece> {
  for await (const piece of lease.stream('output', [plainTimes(options)])) {
    const { time, base64, ...rest } = piece as WirePiece
    yield { ...rest, time: new Date(time), bytes: Buffer.from(base64, 'base64') }
  }
}

/** Faults of a leased container. Those of a test are gone when it is over. */
export function faultsOf(lease: Lease): Faults {
  const on = new Map<number, Fault>()
  const set = async (kind: string, options: object | undefined): Promise<Fault> => {
    const { id, description } = (await lease.call('fault', [kind, plainScope(options)])) as { id: number; description: string }
    const clear = async (): Promise<void> => {
      on.delete(id)
      await lease.call('heal', [id])
    }
    const fault: Fault = { description, clear, [Symbol.asyncDispose]: clear }
    on.set(id, fault)
    return fault
  }
  return {
    latency: options => set('latency', options),
    bandwidth: options => set('bandwidth', options),
    timeout: options => set('timeout', options),
    cut: options => set('cut', options),
    slowClose: options => set('slowClose', options),
    memory: options => set('memory', options),
    disk: options => set('disk', options),
    pause: () => set('pause', undefined),
    reset: async options => Number(await lease.call('fault', ['reset', plainScope(options)])),
    kill: async signal => void (await lease.call('kill', [signal])),
    clear: async () => void (await Promise.all([...on.values()].map(fault => fault.clear()))),
  }
}

/** Of the other container its id is enough. */
function plainScope(options: object | undefined): object | null {
  const { peer, ...rest } = (options ?? {}) as { readonly peer?: { readonly id: string } }
  return options === undefined ? null : { ...rest, ...(peer === undefined ? {} : { peer: { id: peer.id } }) }
}

async function* linesOf(lease: Lease, options: LogOptions = {}): AsyncGenerator<LogLine> {
  for await (const line of lease.stream('logs', [plainTimes(options)])) {
    const { time, ...rest } = line as WireLogLine
    yield { ...rest, time: new Date(time) }
  }
}

/** From the call on, whether they are read yet or not. */
export function eventsOf(lease: Lease, { signal }: EventOptions = {}): AsyncIterable<ContainerEvent> {
  const items = lease.stream('events', [])
  // Asked for at once: what comes then is kept until it is read.
  let next: Promise<IteratorResult<unknown>> | undefined = items.next()
  next.catch(() => undefined)
  const left = new Promise<IteratorResult<unknown>>(resolve => signal?.addEventListener('abort', () => resolve({ done: true, value: undefined }), { once: true }))
  return (async function* events() {
    try {
      for (;;) {
        const item = signal?.aborted === true ? { done: true as const } : await Promise.race([next ?? items.next(), left])
        next = undefined
        if (item.done === true) return
        const { time, ...rest } = item.value as WireEvent
        yield { ...rest, time: new Date(time) } as ContainerEvent
      }
    } finally {
      void items.return(undefined).catch(() => undefined)
    }
  })()
}

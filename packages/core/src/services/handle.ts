import type { AttachOptions, ExecOptions, Fault, Faults, LogLine, LogOptions, Logs, OutputOptions, OutputPiece } from '../container/types.js'
import { resolve } from 'node:path'
import { Readable } from 'node:stream'
import { numberOf, type Address } from './addresses.js'
import { REMOTE_METHODS, type WireLogLine, type WirePiece } from './calls.js'
import type { Lease } from './client.js'
import { attachTo, spawnIn } from './processes.js'
import { shownError } from './wire.js'

/** What stands behind a handle at the moment. */
export interface Behind {
  /** The lease, once there is one. */
  lease(): Lease | undefined
  /** The address known before the lease: services of the configuration have one. */
  address(): Address | undefined
  /** Leases where nobody has yet, if there is to be a lease. */
  wake?(): Promise<Lease> | undefined
  /** What to do about a use before the lease. */
  readonly hint?: string
}

/** A handle as plain object that asks `behind` at every use; `name` is only for messages. */
export function createHandle(name: string, behind: Behind): object {
  const lease = (): Lease => behind.lease() ?? fail(name, behind)
  const leased = async (): Promise<Lease> => behind.lease() ?? (await behind.wake?.()) ?? fail(name, behind)
  const address = (): Address => {
    const held = behind.lease()?.grant.address
    if (held !== undefined) return held
    const known = behind.address() ?? fail(name, behind)
    // Who reads an address will connect: the connection is held until there is an instance.
    behind.wake?.()?.catch(() => undefined)
    return known
  }
  const members: Readonly<Record<string, () => unknown>> = {
    id: () => lease().grant.id,
    name: () => lease().grant.name,
    ip: () => lease().grant.ip,
    host: () => address().host,
    ports: () => Object.keys(address().ports).map(Number),
    port: () => (container: number) => numberOf(address().ports, container),
    urlOf: () => (container: number, scheme = 'http') => urlOf(address(), container, scheme),
    fetch: () => (path: string, init?: RequestInit) => fetch(new URL(path, baseOf(address())), init),
    exit: () => lease().call('exit', []),
    exec: () => async (command: readonly string[], options?: ExecOptions) => execOn(await leased(), command, options),
    logs: () => (options?: LogOptions) => logsOf(lease(), options),
    output: () => (options?: OutputOptions) => piecesOf(lease(), options),
    spawn: () => async (command: readonly string[], options?: ExecOptions) => spawnIn(await leased(), command, options),
    attach: () => async (options?: AttachOptions) => attachTo(await leased(), options),
    faults: () => faultsOf(lease()),
    image: () => lease().grant.image,
    inside: () => insideOf(lease().grant, address()),
    reset: () => async () => (await leased()).call('reset', []),
    // Paths of this process's own directory.
    copyIn: () => async (source: unknown, ...rest: readonly unknown[]) => (await leased()).call('copyIn', [localPath(source), ...rest]),
    copyOut: () => async (source: string, target: unknown, ...rest: readonly unknown[]) => (await leased()).call('copyOut', [source, localPath(target), ...rest]),
  }
  return new Proxy(Object.create(null) as object, {
    get: (_, member) => {
      // A handle in `await` or `return` of an async function is no promise.
      if (typeof member !== 'string' || member === 'then') return undefined
      const own = members[member]
      if (own !== undefined) return own()
      if ((REMOTE_METHODS as readonly string[]).includes(member)) {
        return async (...args: readonly unknown[]) => (await leased()).call(member, args)
      }
      return address().facts[member]
    },
    has: (_, member) => typeof member === 'string' && (member in members || member in (behind.address()?.facts ?? {})),
  })
}

function insideOf({ inside }: Lease['grant'], { facts }: Address): object {
  return { ...facts, host: inside.host, port: (container: number) => container, ...inside.facts }
}

/** A last "/." is a word of the copy's own. */
function localPath(path: unknown): unknown {
  return typeof path === 'string' ? `${resolve(path)}${/\/\.?$/.test(path) ? path.slice(path.lastIndexOf('/')) : ''}` : path
}

async function execOn(lease: Lease, command: readonly string[], { stdin, input, signal, ...options }: ExecOptions = {}): Promise<unknown> {
  const given = input ?? (stdin instanceof Readable ? Buffer.concat(await stdin.toArray() as Uint8Array[]) : stdin)
  const bytes = given === undefined ? {} : { input: { base64: Buffer.from(given).toString('base64') } }
  return await lease.call('exec', [command, { ...options, ...bytes }], signal)
}

/** The log as lines, and as their text. */
function logsOf(lease: Lease, options: LogOptions = {}): Logs {
  const text = async function* (): AsyncGenerator<string> {
    for await (const { text } of linesOf(lease, options)) yield `${text}\n`
  }
  return { [Symbol.asyncIterator]: () => linesOf(lease, options), stream: () => Readable.from(text(), { objectMode: false }) }
}

/** Dates as milliseconds. */
function plainTimes<T extends OutputOptions>({ since, until, ...options }: T): object {
  return { ...options, ...(since === undefined ? {} : { since: Number(since) }), ...(until === undefined ? {} : { until: Number(until) }) }
}

async function* piecesOf(lease: Lease, options: OutputOptions = {}): AsyncGenerator<OutputPiece> {
  for await (const piece of lease.stream('output', [plainTimes(options)])) {
    const { time, base64, ...rest } = piece as WirePiece
    yield { ...rest, time: new Date(time), bytes: Buffer.from(base64, 'base64') }
  }
}

/** Faults of a leased container. Those of a test are gone when it is over. */
function faultsOf(lease: Lease): Faults {
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

function baseOf({ host, ports, facts }: Address): string {
  return facts['url'] ?? `http://${host}:${String(Object.values(ports)[0] ?? 80)}`
}

function urlOf(address: Address, container: number, scheme: string): string {
  return `${scheme}://${address.host}:${String(numberOf(address.ports, container))}`
}

function fail(name: string, { hint }: Behind): never {
  throw shownError('ERR_MAYFLY_NOT_STARTED', `"${name}" has not been started yet`, {
    hint: hint ?? 'Read it inside a test or a hook, not while the file is loading.',
  })
}

import type { ExecOptions, LogLine, LogOptions } from '../container/types.js'
import { MayflyError } from '../errors.js'
import { numberOf, type Address } from './addresses.js'
import { REMOTE_METHODS, type WireLogLine } from './calls.js'
import type { Lease } from './client.js'

/** What stands behind a handle at the moment. */
export interface Behind {
  /** The lease, once there is one. */
  lease(): Lease | undefined
  /** The address known before the lease: services of the configuration have one. */
  address(): Address | undefined
  /** What to do about a use before the lease. */
  readonly hint?: string
}

/** A handle as plain object that asks `behind` at every use; `name` is only for messages. */
export function createHandle(name: string, behind: Behind): object {
  const address = (): Address => behind.lease()?.grant.address ?? behind.address() ?? fail(name, behind)
  const lease = (): Lease => behind.lease() ?? fail(name, behind)
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
    exec: () => (command: readonly string[], options?: ExecOptions) => execOn(lease(), command, options),
    logs: () => (options?: LogOptions) => linesOf(lease(), options),
  }
  return new Proxy(Object.create(null) as object, {
    get: (_, member) => {
      // A handle in `await` or `return` of an async function is no promise.
      if (typeof member !== 'string' || member === 'then') return undefined
      const own = members[member]
      if (own !== undefined) return own()
      if ((REMOTE_METHODS as readonly string[]).includes(member)) {
        return (...args: readonly unknown[]) => lease().call(member, args)
      }
      return address().facts[member]
    },
    has: (_, member) => typeof member === 'string' && (member in members || member in (behind.address()?.facts ?? {})),
  })
}

async function execOn(lease: Lease, command: readonly string[], { input, signal, ...options }: ExecOptions = {}): Promise<unknown> {
  const bytes = input === undefined ? {} : { input: { base64: Buffer.from(input).toString('base64') } }
  return await lease.call('exec', [command, { ...options, ...bytes }], signal)
}

async function* linesOf(lease: Lease, { since, ...options }: LogOptions = {}): AsyncGenerator<LogLine> {
  const from = since === undefined ? {} : { since: Number(since) }
  for await (const line of lease.stream('logs', [{ ...options, ...from }])) {
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
  throw new MayflyError('ERR_MAYFLY_NOT_STARTED', `"${name}" has not been started yet`, {
    hint: hint ?? 'Read it inside a test or a hook, not while the file is loading.',
  })
}

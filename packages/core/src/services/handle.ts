import type { AttachOptions, Container, CopyInOptions, CopyOptions, CopySource, EventOptions, ExecOptions, Listening, LogOptions, OutputOptions, Protocol, SnapshotOptions } from '../container/types.js'
import type { MayflyError } from '../errors.js'
import { numberOf, type Address } from './address.js'
import { REMOTE_METHODS } from './calls.js'
import type { Lease } from './client.js'
import { attachTo, spawnIn } from './processes.js'
import { reachFrom } from './remote-reach.js'
import { snapshotOf } from './remote-snapshots.js'
import { eventsOf, execOn, faultsOf, logsOf, piecesOf } from './remote.js'
import { traced } from './stack.js'
import { shownError } from './wire.js'

/** What a container has that the run host does not do by a mere call: a handle without one of these does not compile. */
type Member = Exclude<keyof Container, symbol | Exclude<(typeof REMOTE_METHODS)[number], 'exec' | 'exit' | 'logs' | 'output' | 'copyIn' | 'copyOut'>>

/** Most test files copy nothing. */
const copies = (): Promise<typeof import('./remote-copies.js')> => import('./remote-copies.js')

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
  const members = {
    id: () => lease().grant.id,
    name: () => lease().state.name,
    ip: () => lease().grant.ip,
    host: () => address().host,
    ports: () => Object.keys(address().ports).map(Number),
    udpPorts: () => Object.keys(lease().grant.udp).map(Number),
    port: () => (container: number, protocol: Protocol = 'tcp') => (protocol === 'udp' ? udpNumberOf(lease(), container) : numberOf(address().ports, container)),
    urlOf: () => (container: number, scheme = 'http') => urlOf(address(), container, scheme),
    fetch: () => (path: string, init?: RequestInit) => fetch(new URL(path, baseOf(address())), init),
    exit: () => lease().call('exit', []),
    health: () => lease().state.health,
    exec: () => async (command: readonly string[], options?: ExecOptions) => execOn(await leased(), command, options),
    logs: () => (options?: LogOptions) => logsOf(lease(), options),
    output: () => (options?: OutputOptions) => piecesOf(lease(), options),
    events: () => (options?: EventOptions) => eventsOf(lease(), options),
    spawn: () => async (command: readonly string[], options?: ExecOptions) => spawnIn(await leased(), command, options),
    attach: () => async (options?: AttachOptions) => attachTo(await leased(), options),
    faults: () => Object.fromEntries(Object.entries(faultsOf(lease())).map(([kind, set]) => [kind, traced(set as unknown)])),
    image: () => lease().grant.image,
    inside: () => insideOf(lease().grant, address()),
    reset: () => async () => (await leased()).call('reset', []),
    reach: () => async (server: Listening) => reachFrom(await leased(), server),
    copyIn: () => async (source: CopySource, target: string, options?: CopyInOptions) => (await copies()).copyInto(await leased(), source, target, options),
    copyOut: () => async (source: string, target: string, options?: CopyOptions) => (await copies()).copyFrom(await leased(), source, target, options),
    archive: () => async (source: string, options?: CopyOptions) => (await copies()).archiveOf(await leased(), source, options),
    snapshot: () => async (options?: SnapshotOptions) => snapshotOf(await leased(), options, createHandle),
  } satisfies Readonly<Record<Member | 'inside' | 'reset', () => unknown>>
  const dispose = async (): Promise<void> => void (await lease().call('stop', [{ timeout: 0 }]))
  return new Proxy(Object.create(null) as object, {
    get: (_, member) => {
      // A handle in `await` or `return` of an async function is no promise.
      if (member === Symbol.asyncDispose) return dispose
      if (typeof member !== 'string' || member === 'then') return undefined
      const own = (members as Readonly<Record<string, () => unknown>>)[member]
      if (own !== undefined) return traced(own())
      if ((REMOTE_METHODS as readonly string[]).includes(member)) {
        return traced(async (...args: readonly unknown[]) => (await leased()).call(member, args))
      }
      return address().facts[member]
    },
    has: (_, member) => typeof member === 'string' && (member in members || member in (behind.address()?.facts ?? {})),
  })
}

function insideOf({ inside }: Lease['grant'], { facts }: Address): object {
  return { ...facts, host: inside.host, port: (container: number) => container, ...inside.facts }
}

function baseOf({ host, ports, facts }: Address): string {
  return facts['url'] ?? `http://${host}:${String(Object.values(ports)[0] ?? 80)}`
}

function urlOf(address: Address, container: number, scheme: string): string {
  return `${scheme}://${address.host}:${String(numberOf(address.ports, container))}`
}

function udpNumberOf({ grant: { udp, name } }: Lease, container: number): number {
  const number = udp[String(container)]
  if (number !== undefined) return number
  throw shownError('ERR_MAYFLY_OPTION_INVALID', `UDP port ${String(container)} of ${name} is not reachable`, {
    hint: `Reachable are: ${Object.keys(udp).join(', ') || 'none'}. List it in \`ports\`, as '${String(container)}/udp'.`,
  })
}

function fail(name: string, { hint }: Behind): never {
  throw shownError('ERR_MAYFLY_NOT_STARTED', `"${name}" has not been started yet`, {
    hint: hint ?? 'Read it inside a test or a hook, not while the file is loading.',
  })
}

/** For what must be called while a file loads, and was called by its hooks or tests. */
export function tooLate(what: string): MayflyError {
  return shownError('ERR_MAYFLY_NOT_STARTED', `${what} comes too late: the tests of this file have begun`, {
    hint: 'Call it at the top of the file or in a describe. What each test is to have for itself has scope: \'test\'.',
  })
}

import { connect } from 'node:net'
import { dirname } from 'node:path'
// Not the global one, which tests replace.
import { setTimeout as later } from 'node:timers'
import { MayflyError } from '../errors.js'
import type { ExitStatus, Health, Listening, Reached } from '../container/types.js'
import type { Address } from './address.js'
import { findConfig } from './find-config.js'
import type { RunAddress } from './host.js'
import type { Grant, WireHealth } from './leases.js'
import { closeLeftOpen } from './left-open.js'
import type { Scope } from './types.js'
import { uniqueName } from './unique.js'
import type { Until } from './visit.js'
import { shownError, speak, type Answer, type Peer } from './wire.js'

/** The environment variable that carries a run's address from global set-up to the workers. */
export const RUN_VARIABLE = 'MAYFLY_RUN'

export interface Use {
  readonly name: string
  readonly as?: string | undefined
  readonly scope?: Scope | undefined
  /** The test that asks: an instance of scope `test` is this attempt's alone. */
  readonly test?: TestAttempt | undefined
}

/** One attempt at one test. */
export interface TestAttempt {
  /** Unique in the run. */
  readonly id: string
  /** Other tests of the file run at the same time. */
  readonly concurrent: boolean
}

export interface Lease {
  readonly grant: Grant
  /** What changes of it, as it was told last. */
  readonly state: LeaseState
  call(method: string, args: readonly unknown[], signal?: AbortSignal): Promise<unknown>
  stream(method: string, args: readonly unknown[]): AsyncGenerator<unknown>
  /** Its last log lines, and how it ended if it did. */
  describe(): Promise<Description>
  giveBack(): Promise<void>
  /** A container from one of its snapshots, which ends with the file. */
  another(snapshot: string, options: object): Promise<Lease>
}

export interface LeaseState {
  name: string
  health: Health | undefined
}

/** A container that ended by itself. */
export interface EndedContainer {
  /** What the tests call it. */
  readonly name: string
  readonly exit: ExitStatus
  /** What it printed last. */
  readonly lines: readonly string[]
}

/** What is to say of an instance when a test has failed. */
export interface Description {
  readonly lines: readonly string[]
  /** How it ended; `stopped` when a test did that. */
  readonly ended: ExitStatus | 'stopped' | null
}

/** A test file's way to its run: leases tied to one connection. */
export interface Session {
  /** Makes ready what a later lease needs: the image. Answers the scope of the use. */
  prepare(use: Use): Promise<Scope>
  lease(use: Use): Promise<Lease>
  /** The same, but where each test has its own, only what their leases need is made ready: undefined. */
  begin(use: Use): Promise<Lease | undefined>
  /** Lets containers reach a server of this process, until it is closed, or the test or the file is over. */
  reach(server: Listening, until: Until): Promise<Reached>
  /**
   * To be awaited before every attempt at a test, retries among them, outside of its own time: services with `reset: 'test'`
   * go back to their prepared state. Throws ERR_MAYFLY_OPTION_INVALID when other tests of the file run at the same time.
   */
  beginTest(attempt?: { readonly concurrent?: boolean | undefined }): Promise<void>
  /** To be awaited after it. Answers what ended by itself since the beginning; marks for MAYFLY_KEEP what a failed one used. */
  endTest(outcome?: { readonly failed?: boolean | undefined }): Promise<readonly EndedContainer[]>
  /** Those of these services at whose address connections wait, as nothing stands behind it. */
  holding(names: readonly string[]): Promise<readonly string[]>
  /** At a test's end: faults it set are gone, what it paused goes on, its servers are reached no more. */
  mend(): Promise<void>
  /** Gives back whatever is still leased and ends the connection. */
  close(): Promise<void>
}

/** The run this process belongs to, or undefined without global set-up. */
export function currentRun(environment: NodeJS.ProcessEnv = process.env): RunAddress | undefined {
  const text = environment[RUN_VARIABLE]
  return text === undefined || text === '' ? undefined : (JSON.parse(text) as RunAddress)
}

/** The addresses a file's configuration has in a slot, known before anything runs. */
export function knownAddresses(run: RunAddress, file: string, slot: number): Readonly<Record<string, Address>> {
  const config = findConfig(dirname(file))
  return (config === undefined ? undefined : run.addresses[config]?.[String(slot)]) ?? {}
}

/** What the tests' environment gets: the `exports` of every service of the file's configuration. */
export function exportedVariables(run: RunAddress, file: string, slot: number): Readonly<Record<string, string>> {
  const own = Object.values(knownAddresses(run, file, slot)).map(address => address.exports)
  return Object.assign({}, ...own) as Record<string, string>
}

export type Variables = Readonly<Record<string, string | undefined>>

/** Sets variables of this worker, which runs other files after this one, and answers what they were. */
export function setVariables(variables: Variables): Variables {
  const before = Object.fromEntries(Object.keys(variables).map(name => [name, process.env[name]]))
  for (const [name, value] of Object.entries(variables)) {
    if (value === undefined) delete process.env[name]
    else process.env[name] = value
  }
  return before
}

export interface SessionOptions {
  /** It is there for as long as the runner is, and does not tell that somebody uses what it leases. */
  readonly standing?: boolean
}

/** A session of one file in one slot. Connects at the first lease; holds the process only while something is awaited. */
export function openSession(run: RunAddress, file: string, slot: number, { standing = false }: SessionOptions = {}): Session {
  const attempt = uniqueName()
  const held = new Set<Lease>()
  let ended: EndedContainer[] = []
  const parent = process.ppid
  let connection: Promise<Peer> | undefined
  let over = false
  /** Whether a test did something that must be undone: most do nothing, and their end costs no round trip. */
  let disturbed = false
  const peer = (): Promise<Peer> => {
    connection ??= connectTo(run, standing, (op, params) => {
      if (op === 'ended') ended.push(params as unknown as EndedContainer)
      if (op === 'health') for (const { grant, state } of held) if (grant.lease === params['lease']) state.health = healthOf(params['health'] as WireHealth)
    }).then(host => {
      void host.closed.then(() => { if (!over) endOrphan(parent) })
      return host
    })
    return connection
  }
  const adopt = (host: Peer, grant: Grant): Lease => {
    const lease: Lease = {
      grant,
      state: { name: grant.name, health: grant.health === undefined ? undefined : healthOf(grant.health) },
      call: async (method, args, signal) => {
        if (DISTURBING.includes(method)) disturbed = true
        const result = await host.request('call', { lease: grant.lease, method, args }, signal)
        if (method === 'rename') lease.state.name = String(args[0])
        return result
      },
      stream: (method, args) => host.stream('call', { lease: grant.lease, method, args }),
      describe: async () => (await host.request('describe', { lease: grant.lease })) as Description,
      giveBack: async () => {
        held.delete(lease)
        if (ENDING.includes(grant.scope)) await closeLeftOpen([grant], [...held].map(other => other.grant))
        await host.request('release', { lease: grant.lease })
      },
      another: async (snapshot, options) => adopt(host, (await host.request('another', { lease: grant.lease, snapshot, options, file, slot, attempt })) as Grant),
    }
    held.add(lease)
    return lease
  }
  return {
    prepare: async ({ name, scope }) => (await (await peer()).request('prepare', { name, scope, file, slot })) as Scope,
    lease: async ({ name, as, scope, test }) => {
      const host = await peer()
      return adopt(host, (await host.request('lease', { name, as, scope, file, slot, attempt, test })) as Grant)
    },
    begin: async ({ name, as, scope }) => {
      const host = await peer()
      const grant = (await host.request('begin', { name, as, scope, file, slot, attempt })) as Grant | null
      return grant === null ? undefined : adopt(host, grant)
    },
    reach: async (server, until) => {
      const host = await peer()
      if (until === 'test') disturbed = true
      const found = (await host.request('reach', { ...placeOf(server), until })) as Pick<Reached, 'host' | 'port'>
      const close = async (): Promise<void> => void (await host.request('unreach', { port: found.port }))
      return { ...found, url: (scheme = 'http') => `${scheme}://${found.host}:${String(found.port)}`, close, [Symbol.asyncDispose]: close }
    },
    beginTest: async ({ concurrent = false } = {}) => {
      if (!concurrent) ended = []
      const resets = [...held].filter(({ grant }) => grant.reset === 'test' && grant.scope !== 'test')
      const [first] = resets
      if (first === undefined) return
      if (concurrent) throw atTheSameTime(first.grant)
      const host = await peer()
      await Promise.all(resets.map(({ grant }) => host.request('reset', { lease: grant.lease })))
    },
    endTest: async ({ failed = false } = {}) => {
      // What has ended has been told by the time that this is answered.
      if (failed && connection !== undefined) await (await connection).request('failed', { leases: [...held].map(({ grant }) => grant.lease) })
      return ended
    },
    holding: async names => (await (await peer()).request('holding', { names, file, slot })) as readonly string[],
    mend: async () => {
      if (!disturbed) return
      disturbed = false
      await (await peer()).request('mend', {})
    },
    close: async () => {
      if (connection === undefined) return
      const host = await connection
      await Promise.all([...held].map(lease => lease.giveBack()))
      over = true
      host.close()
    },
  }
}

function healthOf({ log, ...rest }: WireHealth): Health {
  return { ...rest, log: log.map(({ start, end, ...probe }) => ({ ...probe, start: new Date(start), end: new Date(end) })) }
}

function atTheSameTime({ name }: Grant): MayflyError {
  return shownError('ERR_MAYFLY_OPTION_INVALID', `${name} goes back to its prepared state before every test, and several tests run at the same time`, {
    hint: 'Give each its own by scope: \'test\', or run them one after the other.',
  })
}

/** Instances that end, or databases that go, when they are given back. */
const ENDING: readonly Scope[] = ['file', 'test']

/** What changes a container for as long as the test runs. */
const DISTURBING: readonly string[] = ['fault', 'pause']

/** The part of a server that another process needs to find it. */
export function placeOf(server: Listening): { readonly port: number; readonly address: string } {
  const address = typeof server === 'number' ? { port: server, address: '' } : server.address()
  if (address !== null && typeof address === 'object') return { port: address.port, address: address.address }
  throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `Containers cannot reach this: the server ${address === null ? 'does not listen yet' : 'listens on a unix socket'}`, {
    hint: address === null ? 'Wait for its "listening" event first.' : 'Let it listen on a port of 127.0.0.1.',
  })
}

/**
 * A killed runner leaves its forked workers running to the end of their file. Without run and parent, nobody waits for it.
 * The kernel closes the parent's files, which ends the run, a moment before it gives its children to another.
 */
function endOrphan(parent: number, looks = 50): void {
  if (process.ppid !== parent) process.kill(process.pid, 'SIGKILL')
  else if (looks > 1) later(endOrphan, 100, parent, looks - 1).unref()
}

async function connectTo({ socket: path, token }: RunAddress, standing: boolean, answer: Answer): Promise<Peer> {
  const socket = connect(path)
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve)
    socket.once('error', cause =>
      reject(new MayflyError('ERR_MAYFLY_RUN_LOST', 'The run host does not answer', { cause, hint: 'Run the tests again.' })),
    )
  })
  const peer = speak(socket, answer)
  // What is asked for next need not wait for the answer: without the right token nothing is answered.
  peer.request('hello', { token, standing }).then(heard => { if (heard !== true) peer.close() }, () => undefined)
  return peer
}

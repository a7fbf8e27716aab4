import { createHash, randomBytes } from 'node:crypto'
import { chmodSync, lstatSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'

import { MayflyError } from '../errors.js'
import type { IdMap } from '../idmap.js'
import { launchSupervisor, METHOD, decodeEvent, privilege, type Connection, type Hello, type RawExit } from '../native/index.js'
import { Addresses } from '../network/addresses.js'
import { Subnets } from '../network/subnets.js'
import { claimHome, defaultHome } from '../images/store.js'
import { requireLinux } from '../platform.js'
import { fastestDriver, type Driver } from './drivers.js'
import type { PrivateNetwork } from './network.js'
import type { Outbound } from './outbound.js'
import type { Proxy } from './proxy.js'
import type { Opening } from './reach.js'
import { Events } from './events.js'
import { Slots } from './slots.js'

/** A started run: one supervisor and what belongs to it. */
export interface Run {
  readonly id: string
  readonly dir: string
  readonly connection: Connection
  readonly hello: Hello
  readonly addresses: Addresses | undefined
  /** Whether the host reaches containers at those addresses; an ordinary user reaches them through ports of the loopback. */
  readonly reachable: boolean
  /** The ids of containers; absent for root, whose containers have the machine's. */
  readonly map: IdMap | undefined
  /** Told once when a process ends, or the supervisor does: by container id, for an exec `id/number`. */
  readonly exits: Map<string, (exit: RawExit) => void>
  /** Who is told, by its number, of a port that cannot be listened at. */
  readonly unheard: Map<number, (errno: string) => void>
  /** What happens to its containers. */
  readonly events: Events
  readonly names: Set<string>
  /** Running containers of this process, by id: others can share their namespaces. */
  readonly members: Map<string, Member>
  /** Networks of their own, and the addresses those are cut from; none where containers have no network. */
  readonly networks: Set<PrivateNetwork>
  readonly subnets: Subnets | undefined
  readonly slots: Slots
  /** What root file systems are made with, until it fails. */
  driver: Driver
  nextPort: number
  nextFault: number
  /** Ports of the machine that containers reach. */
  readonly reached: Map<number, Opening>
  /** Where the supervisor listens; sockets of containers lie beside it. */
  readonly socketPath: string
  nextNetwork: number
  /** Settles when the run's own network has a name server; absent until somebody needs one. */
  naming: Promise<void> | undefined
  /** How its containers get out; absent until one may. */
  outbound: Promise<Outbound> | undefined
  /** What leads out where nothing better does; absent until a container needs it. */
  proxy: Promise<Proxy> | undefined
}

/** What others need to know of a running container. */
export interface Member {
  readonly id: string
  readonly name: string
  readonly hostname: string
  readonly address: number | undefined
  readonly connection: Connection
  /** Whether its network namespace is its own. */
  readonly owned: boolean
  /** Whether its first interface is on the run's own network. */
  readonly onRun: boolean
  readonly networks: PrivateNetwork[]
  readonly resolv: string
  /** What its hosts file should say, and what it says. */
  readonly hosts: () => string
  written: string
  refreshing: Promise<void>
}

/** What stands in a run's `run.json`. */
export interface RunFile {
  readonly pid: number
  readonly token: string
  readonly socket: string
  readonly started: string
  /** It stays for somebody to look into, and `prune` ends it. */
  readonly kept?: boolean
}

let current: Promise<Run> | undefined

/** The run of this process, started when first asked for; callers at the same time share it. */
export function currentRun(): Promise<Run> {
  current ??= start().catch((error: unknown) => {
    current = undefined
    throw error
  })
  return current
}

/** Marks the run of this process as one that outlives its tests, for somebody to look into. Harmless without one. */
export async function keepRun(): Promise<void> {
  const run = await current?.catch(() => undefined)
  if (run === undefined) return
  const path = join(run.dir, 'run.json')
  const file: RunFile = { ...JSON.parse(readFileSync(path, 'utf8')) as RunFile, kept: true }
  writeFileSync(`${path}.new`, JSON.stringify(file), { mode: 0o600 })
  renameSync(`${path}.new`, path)
}

/** Ends the run of this process and everything in it. Harmless without one. */
export async function endRun(): Promise<void> {
  const run = await current?.catch(() => undefined)
  current = undefined
  await run?.connection.request(METHOD.shutdown).catch(() => undefined)
  run?.connection.close()
  run?.events.close()
}

async function start(): Promise<Run> {
  requireLinux()
  const id = randomBytes(6).toString('hex')
  const token = randomBytes(32).toString('hex')
  const dir = join(claimHome(), 'runs', id)
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  mkdirSync(join(dir, 'scratch'), { mode: 0o700 })
  const socketPath = join(socketDirectory(), `${id}.sock`)
  const file: RunFile = { pid: process.pid, token, socket: socketPath, started: new Date().toISOString() }
  writeFileSync(join(dir, 'run.json'), JSON.stringify(file), { mode: 0o600 })
  const { connection, hello } = await launchSupervisor({ runId: id, dir, socketPath, token }).catch((error: unknown) => {
    rmSync(dir, { recursive: true, force: true })
    throw error
  })
  const exits: Run['exits'] = new Map()
  const unheard: Run['unheard'] = new Map()
  const events = new Events(dirname(dirname(dir)))
  connection.onEvent = (payload) => {
    const event = decodeEvent(payload)
    if (event?.kind === 'unheard') unheard.get(event.port)?.(event.errno)
    if (event?.kind !== 'exited') return
    const key = event.exec === 0 ? event.container : `${event.container}/${event.exec}`
    exits.get(key)?.(event.exit)
    exits.delete(key)
  }
  connection.onLost = () => {
    current = undefined
    events.close()
    for (const tell of exits.values()) tell({ code: -1, signal: 9, oomKilled: false })
    exits.clear()
    unheard.clear()
  }
  const addresses = hello.prefix === 0 ? undefined : new Addresses(hello.subnet, hello.prefix)
  // Beside the run's own network, as large (janitor.c).
  const subnets = hello.prefix === 0 ? undefined : new Subnets(hello.subnet + 2 ** (32 - hello.prefix), hello.prefix)
  const own = privilege()
  warn(own)
  const run = {
    id, dir, connection, hello, addresses, exits, unheard, events, names: new Set<string>(), members: new Map<string, Member>(), nextPort: 1, nextFault: 1,
    networks: new Set<PrivateNetwork>(), subnets, nextNetwork: 1, reached: new Map<number, Opening>(), socketPath, naming: undefined, outbound: undefined, proxy: undefined,
    reachable: hello.features.get('network') === 'veth', map: own.mode === 'user' ? own.map : undefined, driver: fastestDriver,
  }
  // Before anybody asks: the first slot is being prepared while the first image is looked up.
  return Object.assign(run, { slots: new Slots(run, slotsOf(process.env['MAYFLY_SLOTS'])) })
}

function slotsOf(text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined
  if (/^\d{1,3}$/.test(text)) return Number(text)
  throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `Invalid MAYFLY_SLOTS=${JSON.stringify(text)}: it is a number of slots, 0 for none`)
}

function warn(own: ReturnType<typeof privilege>): void {
  if (own.mode === 'root' || own.map.lacking === undefined) return
  process.emitWarning('Containers have a single user and group here, so images that use others will fail', {
    type: 'MayflyWarning', code: 'MAYFLY_SINGLE_ID', detail: own.map.lacking,
  })
}

/** Short, private and ours: a socket's path has 107 bytes. */
export function socketDirectory(): string {
  const runtime = process.env['XDG_RUNTIME_DIR']
  const directory = runtime !== undefined && runtime !== '' && runtime.length < 60
    ? join(runtime, 'mayfly') : join(tmpdir(), `mayfly-${process.geteuid?.() ?? 0}`)
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const stat = lstatSync(directory)
  if (!stat.isDirectory() || stat.uid !== process.geteuid?.()) {
    throw new MayflyError('ERR_MAYFLY_UNPRIVILEGED', `${directory} does not belong to this user`)
  }
  if ((stat.mode & 0o077) !== 0) chmodSync(directory, 0o700)
  return directory
}

/** Where the keeper of this user's detached containers listens: one for each store, whose runs `ps` lists. */
export function keeperSocket(): string {
  const store = createHash('sha256').update(resolve(defaultHome())).digest('hex').slice(0, 12)
  return join(socketDirectory(), `keeper-${store}.sock`)
}

import { mkdir, rm } from 'node:fs/promises'
import { hostname as systemName } from 'node:os'
import { dirname, join } from 'node:path'

import { MayflyError } from '../errors.js'
import type { Image } from '../images/index.js'
import type { FileLock } from '../layers/index.js'
import { encodeRestart, encodeStart, METHOD, type RawExit } from '../native/index.js'
import { Writer } from '../native/bytes.js'
import { formatAddress } from '../network/addresses.js'
import { cgroupWrites, compileProgram, compileSandbox, compileSetting, sharedWith, warmFilter } from '../sandbox/index.js'
import { Operations } from '../sandbox/operations.js'
import { driverAfter, forcedDriver, type Driver, type DriverName } from './drivers.js'
import { checkName } from './form.js'
import { RunningContainer } from './handle.js'
import { checkHealthcheck, checkupOf } from './health.js'
import { attach, type Attachment } from './attachment.js'
import { checkStart, holdImage, withImage } from './held-image.js'
import { accountsOf, identityOf } from './image.js'
import { insideOf } from './inside.js'
import { isTerminal } from './exec.js'
import { encodeLabel, labelOf, type Label } from './label.js'
import { FLAG } from './process.js'
import { openNameServer, resolvConf } from './nameserver.js'
import type { PrivateNetwork } from './network.js'
import { openOutbound } from './outbound.js'
import { publish, type Published } from './publish.js'
import { reachFrom } from './reach.js'
import type { Mounted } from './binds.js'
import { waitReady } from './readiness.js'
import { resolveOptions } from './resolve.js'
import { isSame, kindOf, rootfsOf, sandboxInput, scratchDirectory } from './setting.js'
import { foundation } from './slots.js'
import { currentRun, type Run } from './supervision.js'
import type { Container, CreatedContainer, Reached, RunOptions, StartCopy } from './types.js'

/** See `run`. */
export async function start(image: string, options: RunOptions = {}): Promise<Container> {
  return withImage(image, options, startFrom)
}

/** See `create`. */
export async function createOnly(image: string, options: RunOptions = {}): Promise<CreatedContainer> {
  const { container, supervision, image: from } = await withImage(image, options, async (supervision, image) => ({ supervision, image, container: await createWithDriver(supervision, image, options, { hold: true }) }))
  let started: Promise<Container> | undefined
  const start = async (): Promise<Container> => {
    try {
      await container.begin()
      await waitReady(supervision.connection, container, from, options)
      return container
    } catch (error) {
      await container[Symbol.asyncDispose]()
      throw error
    }
  }
  return {
    id: container.id,
    get name() { return container.name },
    image: container.image,
    copyIn: (...copy) => container.copyIn(...copy),
    copyOut: (...copy) => container.copyOut(...copy),
    archive: (...copy) => container.archive(...copy),
    rename: (name) => container.rename(name),
    events: (which) => container.events(which),
    start: () => started ??= start(),
    [Symbol.asyncDispose]: () => container[Symbol.asyncDispose](),
  }
}

/** A container that was there before and will be again: its id, and a directory where its changes stay. */
export interface Own {
  readonly id: string
  readonly directory: string
  readonly driver: DriverName | undefined
  readonly label: Pick<Label, 'createdAt' | 'life'>
}

/** Starts a container from files that are there already. */
export async function startImage(image: Image, options: RunOptions = {}, own?: Own): Promise<RunningContainer> {
  await checkStart(image.reference.familiar, options)
  const supervision = await currentRun()
  await holdImage(supervision, image)
  return startFrom(supervision, image, options, own)
}

async function startFrom(supervision: Run, found: Image, options: RunOptions, own?: Own): Promise<RunningContainer> {
  const container = await createWithDriver(supervision, found, options, { own })
  try {
    await waitReady(supervision.connection, container, found, options)
    return container
  } catch (error) {
    await container[Symbol.asyncDispose]()
    throw error
  }
}

/** A driver that does not work here is not tried again in this run, unless it is the one that was asked for. */
async function createWithDriver(run: Run, image: Image, options: RunOptions, { own, hold = false }: Manner = {}): Promise<RunningContainer> {
  const forced = forcedDriver(own?.driver ?? options.driver)
  for (;;) {
    const driver = forced ?? run.driver
    try {
      return await create(run, image, options, driver, { own, hold })
    } catch (error) {
      if (error === stale) continue
      const next = forced === undefined ? driverAfter(driver, error) : undefined
      if (next === undefined) throw error
      run.driver = next
    }
  }
}

/** A slot of the container's kind has another setting: the machine's resolv.conf changed meanwhile, for instance. */
const stale = new Error('The slot is out of date')

/** How it is begun: as one that was there before, and whether its program is started yet. */
interface Manner {
  readonly own?: Own | undefined
  readonly hold?: boolean
}

async function create(run: Run, image: Image, given: RunOptions, driver: Driver, { own, hold = false }: Manner): Promise<RunningContainer> {
  checkHealthcheck(image.reference.familiar, image.config, given.healthcheck)
  const found = await resolveOptions(run, given)
  const { options: resolved, networkOf: other, networks } = found
  const accounts = (): Promise<readonly [string, string]> => accountsOf(image)
  const identity = await identityOf(image, resolved)
  const streams = (resolved.stdin === true ? FLAG.stdin : 0) | (isTerminal(resolved.tty) ? FLAG.terminal : 0) | (resolved.loopback === 'direct' ? FLAG.notify : 0)
  const sources = needsSources(resolved, given, image)
  // Its files are filled before its program starts.
  const waits = hold || (given.copy ?? []).length > 0
  const kind = waits || sources || streams !== 0 || own !== undefined ? undefined : kindOf(run, { image, driver, identity }, found)
  // Only a fresh child inherits what a helper shares with it.
  const taking = run.slots.take(resolved, streams, { afresh: driver.name === 'fuse-overlayfs', kind, id: own?.id })
  // The first filter takes milliseconds to assemble, and the first slot is waited for anyway.
  warmFilter(resolved)
  const slot = await taking
  let name: string | undefined
  let published: Published | undefined
  let attachment: Attachment | undefined
  const reached: Reached[] = []
  let mounted: Mounted = { mounts: [], volumes: [], own: [], fresh: false }
  let filling: FileLock | undefined
  const closed = (): void => {
    if (name !== undefined) run.names.delete(name)
    attachment?.leave()
    for (const one of reached) one.close().catch(() => undefined)
    published?.close()
    slot.free()
    if (own === undefined) void discard(mounted.own)
  }
  try {
    if (sources) mounted = await (await import('./binds.js')).resolveMounts(given, image.config.Volumes, own === undefined ? join(run.dir, 'scratch', slot.id) : join(own.directory, 'own'))
    const outbound = slot.address === undefined || networks.every(({ internal }) => internal) && networks.length > 0 ? undefined : openOutbound(run)
    const proxies = outbound === undefined || run.reachable ? {} : await proxied(run, slot.id, image, resolved.env, networks)
    const options = { ...resolved, mounts: mounted.mounts, env: { ...proxies, ...resolved.env } }
    // Of those who find a volume empty, one fills it.
    if (mounted.fresh) filling = await (await import('../layers/index.js')).lockFile(join(dirname(dirname(run.dir)), 'locks', 'volumes'))
    name = reserve(run, options.name ?? `mayfly-${slot.id.slice(0, 12)}`)
    // In a shared network the address is the other's, and in a shared UTS namespace the name is.
    const hostname = options.hostname ?? (options.uts === 'host' ? systemName() : sharedName(run, options.uts) ?? slot.id.slice(0, 12))
    const resolv = resolvConf(run, networks, formatAddress(run.hello.gateway), options)
    attachment = attach(run, slot, { id: slot.id, name, hostname }, networks, { ...options, resolv, shared: other?.address })
    const naming = slot.address === undefined ? undefined : openNameServer(run)
    naming?.catch(() => undefined)
    const { address, links, hosts } = attachment
    const scratch = own?.directory ?? scratchDirectory(run, slot.id, options, driver)
    const situation = { id: slot.id, scratch, hostname, links: links(), hosts: hosts(), resolvConf: resolv }
    const there = slot.situation !== undefined
    if (slot.situation !== undefined && !isSame(slot.situation, situation)) throw stale
    const input = sandboxInput(run, { image, identity, options }, situation, there ? undefined : await rootfsOf(run, { image, driver, options }, situation))
    const program = compileProgram(input)
    const operations = there ? program : Buffer.concat([compileSetting(input), waits ? new Operations().await() : program])
    const inside = insideOf({ image: image.config, options, hostname, identity })
    const cgroup = cgroupWrites(run.hello.features, options)
    published = await publish(run, image, options, address)
    for (const port of options.hostPorts ?? []) reached.push(await reachFrom(run, port, { address: address ?? 0, prefix: 32 }))
    // A volatile overlay leaves a mark in there that forbids a second mount. [Linux, overlayfs, "Volatile mount"]
    if (own?.driver === 'overlay') await discard([join(own.directory, 'work')])
    let label = labelOf({ name, image, options, address, published: published.ports, inside, volumes: mounted.volumes, networks: options.network === undefined ? networks.map((one) => one.name) : [options.network], ...own?.label })
    // From here on the supervisor knows of it, and deletes it.
    if (scratch !== '' && !there) await mkdir(scratch, { mode: 0o700, recursive: true })
    await Promise.all([outbound, published.announce(slot.id)])
    const flags = streams | (options.hold === true ? FLAG.held : 0)
    const rest = { flags, scratch: own === undefined ? scratch : '', logCap: 0 }
    await slot.start({ ...rest, label: encodeLabel(label), cgroup, operations })
    const ports = published
    const place = attachment
    const begin = async (): Promise<void> => {
      if (waits) await run.connection.request(METHOD.start, encodeStart({ ...rest, label: encodeLabel(label), id: slot.id, cgroup: [], operations: program }))
      await ports.aim(slot.id)
      await Promise.all([place.running(), naming])
    }
    const again = async (): Promise<{ readonly exit: Promise<RawExit> }> => {
      let tell: (exit: RawExit) => void = () => undefined
      const exit = new Promise<RawExit>((resolve) => void (tell = resolve))
      // What was filled once is not filled again.
      const mounts = options.mounts.map((mount) => ({ ...mount, seed: false }))
      const next = { ...input, options: { ...input.options, mounts }, rootfs: { driver: 'again' } as const, links: links(), hosts: hosts() }
      const operations = Buffer.concat([foundation(run, slot.address, options), compileSandbox(next)])
      await ports.announce(slot.id)
      run.exits.set(slot.id, tell)
      try {
        await run.connection.request(METHOD.restart, encodeRestart({ id: slot.id, flags, operations }))
      } catch (error) {
        run.exits.delete(slot.id)
        throw error
      }
      await ports.aim(slot.id)
      await place.running()
      return { exit }
    }
    const renamed = async (to: string): Promise<void> => {
      checkName(to)
      reserve(run, to)
      run.names.delete(label.name)
      name = to
      label = { ...label, name: to }
      await Promise.all([run.connection.request(METHOD.label, new Writer().str(slot.id).bytes(encodeLabel(label)).take()), place.rename(to)])
    }
    const container = new RunningContainer({
      run, id: slot.id, name, image, options, address, exit: slot.exit, published: published.ports, refusal: published.refusal, accounts, closed,
      scratch, given, driver: driver.name,
      inside, label, journal: own === undefined, begin, again, renamed, checkup: checkupOf(image.config, given.healthcheck),
    })
    for (const copy of given.copy ?? []) await copyFirst(container, copy)
    if (!hold) await container.begin()
    return container
  } catch (error) {
    if (error === stale && kind !== undefined) run.slots.forget(kind)
    // What is left of a start that failed is gone before its error is told; most often there is nothing.
    if (!run.connection.lost) await run.connection.request(METHOD.remove, new Writer().str(slot.id).take()).catch(() => undefined)
    closed()
    await rm(join(run.dir, 'scratch', slot.id), { recursive: true, force: true }).catch(() => undefined)
    // Half a copy is none.
    if (own !== undefined && own.driver === undefined) await discard([join(own.directory, 'root')])
    throw error
  } finally {
    run.slots.done(kind)
    await filling?.release()
  }
}

/** An ordinary user's container may have no other way out. */
async function proxied(run: Run, id: string, { config }: Image, env: RunOptions['env'], networks: readonly PrivateNetwork[]): Promise<Readonly<Record<string, string>>> {
  if ((await openOutbound(run)).way !== 'proxy') return {}
  const { proxyVariables } = await import('./proxy.js')
  const given = Object.keys(env ?? {}).map((name) => `${name}=`)
  const peers = networks.flatMap((network) => network.neighbours(id).flatMap(({ names }) => names))
  return proxyVariables(run, id, [...config.Env, ...given], peers)
}

function copyFirst(container: RunningContainer, copy: StartCopy): Promise<void> {
  const { target, ...options } = copy
  const source = 'source' in copy ? copy.source : 'content' in copy ? { content: copy.content } : { tar: copy.tar }
  return container.copyIn(source, target, options)
}

/** What is left of them goes with the run at the latest. */
async function discard(directories: readonly string[]): Promise<void> {
  if (directories.length === 0) return
  const { removeTree } = await import('../layers/index.js')
  await Promise.all(directories.map((directory) => removeTree(directory).catch(() => undefined)))
}

function needsSources({ readonly }: Pick<RunOptions, 'readonly'>, { mounts = [] }: RunOptions, { config }: Image): boolean {
  return mounts.length > 0 || (readonly === true && config.Volumes.length > 0)
}

function sharedName(run: Run, uts: RunOptions['uts']): string | undefined {
  const other = sharedWith(uts)
  return other === undefined ? undefined : run.members.get(other)?.hostname
}

function reserve(run: Run, name: string): string {
  if (run.names.has(name)) throw new MayflyError('ERR_MAYFLY_NAME_IN_USE', `There is a container named ${name} already`)
  run.names.add(name)
  return name
}

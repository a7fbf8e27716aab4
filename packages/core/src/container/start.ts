import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'

import { MayflyError } from '../errors.js'
import type { Image } from '../images/index.js'
import { encodeCreate, encodePortOpen, encodePortTarget, METHOD, Reader, type RawExit } from '../native/index.js'
import { formatAddress } from '../network/addresses.js'
import { CONTAINER_NAMESPACES, compileSandbox } from '../sandbox/compile.js'
import { cgroupWrites } from '../sandbox/limits.js'
import { resolveUser } from '../sandbox/user.js'
import { exposedPorts, optionPorts, RunningContainer } from './handle.js'
import { accountsOf, obtainImage } from './image.js'
import { waitReady } from './readiness.js'
import { currentRun, type Run } from './supervision.js'
import type { Container, RunOptions } from './types.js'

const LOOPBACK = 1

/** See `run`. */
export async function start(image: string, options: RunOptions = {}): Promise<Container> {
  if (options.signal?.aborted === true) {
    throw new MayflyError('ERR_MAYFLY_ABORTED', `The start of ${image} was aborted`, { cause: options.signal.reason })
  }
  const [supervision, found] = await Promise.all([currentRun(), obtainImage(image, options)])
  const container = await create(supervision, found, options)
  try {
    await waitReady(supervision.connection, container, found, options)
    return container
  } catch (error) {
    await container[Symbol.asyncDispose]()
    throw error
  }
}

async function create(run: Run, image: Image, options: RunOptions): Promise<RunningContainer> {
  const id = randomBytes(32).toString('hex')
  const hostname = options.hostname ?? id.slice(0, 12)
  const name = options.name ?? `mayfly-${id.slice(0, 12)}`
  const accounts = (): Promise<readonly [string, string]> => accountsOf(image)
  const identity = resolveUser(options.user ?? image.config.User, ...await accounts())
  if (run.names.has(name)) throw new MayflyError('ERR_MAYFLY_NAME_IN_USE', `There is a container named ${name} already`)
  const address = run.addresses?.take()
  run.names.add(name)
  const close = closer(run, name, address)
  try {
    const scratch = await scratchDirectory(run, id, options)
    const operations = compileSandbox({
      config: image.config,
      options,
      identity,
      hostname,
      rootfs: {
        lowers: image.layers, tmpfsSize: 0, upper: scratch === '' ? '' : join(scratch, 'upper'), work: scratch === '' ? '' : join(scratch, 'work'),
      },
      network: address === undefined ? undefined
        : { address, prefix: run.hello.prefix, gateway: run.hello.gateway, ip: formatAddress(address) },
      resolvConf: resolvConf(options),
    })
    let tell: (exit: RawExit) => void = () => undefined
    const exit = new Promise<RawExit>((resolve) => void (tell = resolve))
    run.exits.set(id, tell)
    const created = run.connection.request(METHOD.create, encodeCreate({
      id, flags: options.stdin === true ? 1 : 0, namespaces: CONTAINER_NAMESPACES, scratch, logCap: 0, operations,
      cgroup: cgroupWrites(run.hello.features, options),
      label: Buffer.from(JSON.stringify({ name, image: image.reference.familiar, labels: options.labels ?? {} })),
    }))
    await created.catch((error: unknown) => {
      run.exits.delete(id)
      throw error
    })
    const container = (published: ReadonlyMap<number, number>): RunningContainer => new RunningContainer({
      run, id, name, image, options, address, identity, hostname, exit, published, accounts,
      workdir: options.workdir ?? (image.config.WorkingDir === '' ? '/' : image.config.WorkingDir),
      closed: () => close(published),
    })
    try {
      return container(await publish(run, id, image, options, address))
    } catch (error) {
      await container(new Map())[Symbol.asyncDispose]()
      throw error
    }
  } catch (error) {
    close()
    throw error
  }
}

const portIds = new WeakMap<ReadonlyMap<number, number>, number[]>()

function closer(run: Run, name: string, address: number | undefined): (published?: ReadonlyMap<number, number>) => void {
  let closed = false
  return (published) => {
    if (closed) return
    closed = true
    run.names.delete(name)
    if (address !== undefined) run.addresses?.free(address)
    for (const port of published === undefined ? [] : portIds.get(published) ?? []) closePort(run, port)
  }
}

/** Binds host ports on the loopback: those with a fixed number, and all when the loopback is asked for. */
async function publish(
  run: Run, id: string, image: Image, options: RunOptions, address: number | undefined,
): Promise<ReadonlyMap<number, number>> {
  const everything = options.loopback === true || address === undefined
  const mappings = (options.ports ?? []).map((port) => typeof port === 'number' ? { container: port } : port)
  const fixed = new Map(mappings.flatMap(({ container, host }) => host === undefined ? [] : [[container, host] as const]))
  const wanted = everything ? new Set([...optionPorts(options), ...exposedPorts(image)]) : new Set(fixed.keys())
  const published = new Map<number, number>()
  const opened: number[] = []
  portIds.set(published, opened)
  try {
    await Promise.all([...wanted].map(async (container) => {
      const port = run.nextPort++
      const reply = await run.connection.request(METHOD.portOpen, encodePortOpen(port, LOOPBACK, 0, fixed.get(container) ?? 0, false))
      opened.push(port)
      published.set(container, new Reader(reply).u16())
      await run.connection.request(METHOD.portTarget, encodePortTarget(port, id, address ?? 0x7f000001, container))
    }))
  } catch (error) {
    for (const port of opened) closePort(run, port)
    throw error
  }
  return published
}

function closePort(run: Run, port: number): void {
  if (!run.connection.lost) run.connection.request(METHOD.portClose, encodeU32(port)).catch(() => undefined)
}

function encodeU32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4)
  bytes.writeUInt32LE(value)
  return bytes
}

/** On disk when memory is limited, since pages of a tmpfs count against the limit. */
async function scratchDirectory(run: Run, id: string, options: RunOptions): Promise<string> {
  const where = options.scratch ?? (options.memory === undefined ? 'memory' : 'disk')
  if (where === 'memory') return ''
  const scratch = join(run.dir, 'scratch', id)
  await mkdir(scratch, { mode: 0o700 })
  return scratch
}

let hostResolvConf: string | undefined

function resolvConf({ dns }: RunOptions): string {
  if (dns !== undefined) return dns.map((server) => `nameserver ${server}\n`).join('')
  if (hostResolvConf === undefined) {
    try {
      hostResolvConf = readFileSync('/etc/resolv.conf', 'utf8')
    } catch {
      hostResolvConf = ''
    }
  }
  return hostResolvConf
}

import { isMayflyError, MayflyError } from '../errors.js'
import type { Image } from '../images/index.js'
import { encodePortOpen, encodePortTarget, METHOD, Reader } from '../native/index.js'
import { Writer } from '../native/bytes.js'
import { holderOf } from '../network/holder.js'
import { containerPorts, exposed, parsePorts, type Binding, type Protocol } from '../network/ports.js'
import { isOnLoopback } from './own-ports.js'
import type { Run } from './supervision.js'
import type { RunOptions } from './types.js'

const LOOPBACK = 1
const LOCALHOST = 0x7f000001
/** How often a free number may be snatched away between its choice and its use. */
const ATTEMPTS = 10

/** A container's port on the machine. */
export interface PublishedPort {
  readonly container: number
  readonly protocol: Protocol
  /** Empty for 127.0.0.1 and ::1. */
  readonly address: string
  readonly number: number
}

/** A container's ports on the machine. */
export interface Published {
  readonly ports: readonly PublishedPort[]
  /** Why one of them cannot be listened at, as soon as that is known. */
  readonly refusal: Promise<MayflyError>
  /** Points those that are handed in at the container, before it is made. */
  announce(id: string): Promise<void>
  /** Points the others at it, which exists by now. */
  aim(id: string): Promise<void>
  close(): void
}

type Options = Pick<RunOptions, 'ports' | 'loopback'> & { readonly network?: string | undefined }

/**
 * Binds ports of the machine: those that `ports` names one for, and all when the loopback is asked for. Done before the
 * program starts, which shall not run when its port is taken. Throws ERR_MAYFLY_ADDRESS_IN_USE.
 */
export async function publish(run: Run, image: Image, options: Options, address: number | undefined): Promise<Published> {
  const bindings = parsePorts(options.ports)
  if (options.network !== undefined) return unpublished(image, bindings, options.network)
  const direct = options.loopback === 'direct'
  const everything = isOnLoopback(options) || !run.reachable || address === undefined
  const wanted = everything ? [...bindings, ...remaining(image, bindings)] : bindings.filter(({ published }) => published)
  const opened: { readonly id: number; readonly port: PublishedPort }[] = []
  const close = (): void => {
    for (const { id } of opened.splice(0)) {
      run.unheard.delete(id)
      closePort(run, id)
    }
  }
  try {
    const outcomes = await Promise.allSettled(wanted.map(async (binding) => void opened.push(await open(run, binding, direct))))
    const failed = outcomes.find((one) => one.status === 'rejected')
    if (failed !== undefined) throw failed.reason
  } catch (error) {
    close()
    throw error
  }
  let refuse: (error: MayflyError) => void = () => undefined
  const refusal = new Promise<MayflyError>((resolve) => void (refuse = resolve))
  for (const { id, port: { number } } of opened) run.unheard.set(id, (errno) => { refuse(snatched(number, errno)) })
  const target = async (id: string, which: (port: PublishedPort) => boolean): Promise<void> => {
    await Promise.all(opened.filter(({ port }) => which(port)).map((one) =>
      run.connection.request(METHOD.portTarget, encodePortTarget(one.id, id, address ?? LOCALHOST, one.port.container))))
  }
  const announced = ({ protocol }: PublishedPort): boolean => direct && protocol === 'tcp'
  const aim = (id: string): Promise<void> => target(id, (port) => !announced(port))
  const order = (one: PublishedPort): number => wanted.findIndex(({ container, protocol }) => container === one.container && protocol === one.protocol)
  return { ports: opened.map(({ port }) => port).sort((a, b) => order(a) - order(b)), refusal, announce: (id) => target(id, announced), aim, close }
}

/** What the image EXPOSEs beside them. */
function remaining(image: Image, bindings: readonly Binding[]): Binding[] {
  return (['tcp', 'udp'] as const).flatMap((protocol) => {
    const named = containerPorts(bindings, protocol)
    return exposed(image.config.ExposedPorts, protocol).filter((port) => !named.includes(port))
      .map((container) => ({ container, protocol, address: '', wanted: undefined, flexible: false, published: false }))
  })
}

async function open(run: Run, binding: Binding, direct: boolean): Promise<{ id: number; port: PublishedPort }> {
  const { container, protocol, address, wanted, flexible } = binding
  const single = wanted !== undefined && wanted.from === wanted.to && !flexible
  for (let attempt = 1; ; attempt += 1) {
    const number = wanted === undefined ? 0 : single ? wanted.from : await choose(binding)
    const id = run.nextPort++
    try {
      const reply = await run.connection.request(METHOD.portOpen, encodePortOpen(id, LOOPBACK, 0, number, { udp: protocol === 'udp', handed: direct && protocol === 'tcp', host: address }))
      return { id, port: { container, protocol, address, number: new Reader(reply).u16() } }
    } catch (error) {
      if (!isMayflyError(error) || error.code !== 'ERR_MAYFLY_ADDRESS_IN_USE') throw error
      if (single || attempt === ATTEMPTS) throw await taken(number, protocol, error)
    }
  }
}

/** A number that is free at the moment: the preferred one, or one of the range. */
async function choose({ wanted, flexible, protocol, address }: Binding): Promise<number> {
  const { from, to } = wanted ?? { from: 0, to: 0 }
  const { default: getPort, portNumbers } = await import('get-port')
  const number = await getPort({ port: portNumbers(from, to), ...(address === '' ? {} : { host: address }) })
  if (number >= from && number <= to) return number
  if (flexible) return 0
  throw new MayflyError('ERR_MAYFLY_ADDRESS_IN_USE', `Every port from ${from} to ${to} of this machine is in use`, {
    hint: 'Choose another range, or leave the host port out for a free one.', details: { from, to, protocol },
  })
}

async function taken(port: number, protocol: Protocol, cause: MayflyError): Promise<MayflyError> {
  const holder = await containerAt(port, protocol) ?? holderOf(port, protocol)
  return new MayflyError('ERR_MAYFLY_ADDRESS_IN_USE', `${protocol === 'udp' ? 'UDP port' : 'Port'} ${port} of this machine is in use${holder === undefined ? '' : ` by ${holder}`}`, {
    hint: cause.hint, details: { port, protocol, ...(holder === undefined ? {} : { holder }) },
  })
}

/** Two may be bound to a number while neither of them listens, where the first allows it; then neither of them can. [Linux, inet_csk_listen_start] */
function snatched(port: number, errno: string): MayflyError {
  return new MayflyError('ERR_MAYFLY_ADDRESS_IN_USE', `Port ${port} of this machine cannot be listened at: ${errno}`, {
    hint: 'Another program is bound to it, without listening yet. Choose another host port, or leave it out for a free one.',
    details: { port, protocol: 'tcp', errno },
  })
}

/** A container of ours holds its port before anything listens there, which no table of the kernel's shows. */
async function containerAt(port: number, protocol: Protocol): Promise<string | undefined> {
  const { listContainers } = await import('./runs.js')
  const found = (await listContainers().catch(() => [])).find(({ ports }) =>
    ports.some((one) => one.published && one.number === port && one.protocol === protocol))
  return found === undefined ? undefined : `the container ${found.name}`
}

/** Without a network of its own: the host's ports are the container's, and elsewhere there are none. */
function unpublished(image: Image, bindings: readonly Binding[], network: string): Published {
  const all = network === 'host' ? [...bindings, ...remaining(image, bindings)] : []
  const ports = all.map(({ container, protocol }) => ({ container, protocol, address: '', number: container }))
  return { ports, refusal: new Promise(() => undefined), announce: () => Promise.resolve(), aim: () => Promise.resolve(), close: () => undefined }
}

function closePort(run: Run, port: number): void {
  if (!run.connection.lost) run.connection.request(METHOD.portClose, new Writer().u32(port).take()).catch(() => undefined)
}

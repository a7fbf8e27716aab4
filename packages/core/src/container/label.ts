import type { Image } from '../images/index.js'
import { formatAddress } from '../network/addresses.js'
import { commandLine } from '../sandbox/command.js'
import { containerPorts, exposed, parsePorts, type Protocol } from '../network/ports.js'
import type { PublishedPort } from './publish.js'
import type { Inside } from './inside.js'
import { signalNumber } from './signals.js'
import type { RunOptions } from './types.js'

/** A container's port, and where it is reached. */
export interface ListedPort {
  readonly container: number
  readonly protocol: Protocol
  readonly host: string
  readonly number: number
  /** Whether it is a port of the machine's, and not of the container's own address. */
  readonly published: boolean
}

/** What the supervisor keeps of a container for those who did not start it. It only passes it on. */
export interface Label {
  readonly name: string
  readonly image: string
  /** The image's id: the digest of its configuration. */
  readonly imageId: string
  readonly labels: Readonly<Record<string, string>>
  readonly command: readonly string[]
  readonly ports: readonly ListedPort[]
  /** Number of the signal that asks it to stop. */
  readonly stopSignal: number
  /** Milliseconds since 1970. */
  readonly createdAt: number
  /** Whether its standard streams are a terminal. */
  readonly tty: boolean
  /** What commands in it inherit, and where its image's accounts are found. */
  readonly inside: Inside
  readonly stack: Image['stack']
  /** Names of the volumes it has. */
  readonly volumes: readonly string[]
  /** Its address in its main network; empty without one. */
  readonly ip?: string | undefined
  /** Names of its networks; `none`, `host` or `container:NAME` of what it has instead. Absent for the run's own. */
  readonly networks?: readonly string[] | undefined
  /** How often it was started, of one that is kept; each life has a log of its own. */
  readonly life?: number | undefined
}

export interface LabelInput {
  readonly networks?: readonly string[] | undefined
  readonly createdAt?: number
  readonly life?: number | undefined
  readonly volumes: readonly string[]
  readonly name: string
  readonly image: Image
  readonly options: Pick<RunOptions, 'ports' | 'labels' | 'command' | 'entrypoint' | 'stopSignal' | 'tty'>
  readonly address: number | undefined
  /** Those on the machine. */
  readonly published: readonly PublishedPort[]
  readonly inside: Inside
}

export function encodeLabel(label: Label): Buffer {
  return Buffer.from(JSON.stringify(label))
}

/** What is told of a container. */
export function labelOf({ name, image, options, address, published, inside, volumes, networks, createdAt = Date.now(), life }: LabelInput): Label {
  const bindings = parsePorts(options.ports)
  const others = (['tcp', 'udp'] as const).flatMap((protocol) => {
    const all = new Set([...containerPorts(bindings, protocol), ...exposed(image.config.ExposedPorts, protocol)])
    for (const { container, protocol: own } of published) if (own === protocol) all.delete(container)
    return [...all].map((container) => ({ container, protocol, host: address === undefined ? '' : formatAddress(address), number: container, published: false }))
  })
  const ports = [
    ...published.map(({ container, protocol, address: on, number }) => ({ container, protocol, host: on === '' ? '127.0.0.1' : on, number, published: true })),
    ...others,
  ]
  return {
    name,
    image: image.reference.familiar,
    imageId: image.id,
    labels: options.labels ?? {},
    command: commandLine(image.config, options),
    ports,
    stopSignal: signalNumber(options.stopSignal ?? image.config.StopSignal ?? 'SIGTERM'),
    createdAt,
    tty: options.tty !== undefined && options.tty !== false,
    inside,
    stack: image.stack,
    volumes,
    ...(address === undefined ? {} : { ip: formatAddress(address) }),
    ...(networks === undefined || networks.length === 0 ? {} : { networks }),
    ...(life === undefined ? {} : { life }),
  }
}

/** Empty for what is no label, such as one of another version. */
export function decodeLabel(bytes: Buffer): Partial<Label> {
  try {
    return JSON.parse(bytes.toString('utf8')) as Partial<Label>
  } catch {
    return {}
  }
}

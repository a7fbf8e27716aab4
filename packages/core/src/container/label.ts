import type { Image } from '../images/index.js'
import { formatAddress } from '../network/addresses.js'
import { commandLine } from '../sandbox/command.js'
import { exposedPorts, optionPorts } from './handle.js'
import { signalNumber } from './signals.js'
import type { RunOptions } from './types.js'

/** A container's TCP port, and where it is reached. */
export interface ListedPort {
  readonly container: number
  readonly host: string
  readonly number: number
}

/** What the supervisor keeps of a container for those who did not start it. It only passes it on. */
export interface Label {
  readonly name: string
  readonly image: string
  readonly labels: Readonly<Record<string, string>>
  readonly command: readonly string[]
  readonly ports: readonly ListedPort[]
  /** Number of the signal that asks it to stop. */
  readonly stopSignal: number
  /** Milliseconds since 1970. */
  readonly createdAt: number
}

export interface LabelInput {
  readonly name: string
  readonly image: Image
  readonly options: Omit<RunOptions, 'devices' | 'seccomp'>
  readonly address: number | undefined
  /** Container port to port of the host's loopback. */
  readonly published: ReadonlyMap<number, number>
}

export function encodeLabel({ name, image, options, address, published }: LabelInput): Buffer {
  const ports = [...new Set([...optionPorts(options), ...exposedPorts(image)])].map((container) => {
    const number = published.get(container)
    return number === undefined
      ? { container, host: address === undefined ? '' : formatAddress(address), number: container }
      : { container, host: '127.0.0.1', number }
  })
  const label: Label = {
    name,
    image: image.reference.familiar,
    labels: options.labels ?? {},
    command: commandLine(image.config, options),
    ports,
    stopSignal: signalNumber(options.stopSignal ?? image.config.StopSignal ?? 'SIGTERM'),
    createdAt: Date.now(),
  }
  return Buffer.from(JSON.stringify(label))
}

/** Empty for what is no label, such as one of another version. */
export function decodeLabel(bytes: Buffer): Partial<Label> {
  try {
    return JSON.parse(bytes.toString('utf8')) as Partial<Label>
  } catch {
    return {}
  }
}

import { isIP } from 'node:net'

import { MayflyError } from '../errors.js'

export type Protocol = 'tcp' | 'udp'

/** A port of a container, and where on the machine it is published. */
export interface PortMapping {
  readonly container: number
  /** The number on the machine: this one, the first free one of `8000-8010`, or with 0 any. Default: see `preferred`. */
  readonly host?: number | string | undefined
  /** This number if it is free, else any. */
  readonly preferred?: number | undefined
  /** Default `tcp`. */
  readonly protocol?: Protocol | undefined
  /** An address of the machine to publish on. Default: 127.0.0.1 and ::1, under one number. */
  readonly address?: string | undefined
}

/** One of `ports`, understood. */
export interface Binding {
  readonly container: number
  readonly protocol: Protocol
  /** Empty for both addresses of the loopback. */
  readonly address: string
  /** The numbers that will do, from the first wanted on; none for any. */
  readonly wanted: { readonly from: number; readonly to: number } | undefined
  /** Whether another number will do when those are taken. */
  readonly flexible: boolean
  /** Whether the machine's side is of interest at all: else the container's own address may be enough. */
  readonly published: boolean
}

/**
 * The bindings of `ports`: a number, an object, or text in Docker's forms (`80`, `8080:80`, `127.0.0.1:8080:80`,
 * `[::1]::80`, `5000-5005:5000-5005/udp`, `8000-8010:80`). Throws ERR_MAYFLY_OPTION_INVALID.
 */
export function parsePorts(ports: readonly (number | string | PortMapping)[] = []): Binding[] {
  return ports.flatMap((port) => typeof port === 'string' ? parse(port) : [fromMapping(typeof port === 'number' ? { container: port } : port)])
}

/** The container's ports of this protocol among them, each once. */
export function containerPorts(bindings: readonly Binding[], protocol: Protocol = 'tcp'): number[] {
  return [...new Set(bindings.filter((one) => one.protocol === protocol).map(({ container }) => container))]
}

/** The ports of EXPOSE: `80/tcp`, `53/udp`, `8000-8010`. What is none is left out. */
export function exposed(declared: readonly string[], protocol: Protocol): number[] {
  return declared.flatMap((text) => {
    const [, from = '', to = from, kind = 'tcp'] = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(\w+))?$/.exec(text) ?? []
    if (kind.toLowerCase() !== protocol || from === '') return []
    const [first, last] = [Number(from), Number(to)]
    return first < 1 || last > 65_535 || last < first ? [] : numbers({ from: first, to: last })
  })
}

function fromMapping({ container, host, preferred, protocol = 'tcp', address = '' }: PortMapping): Binding {
  const shown = JSON.stringify({ container, host, preferred, protocol, address })
  if (protocol !== 'tcp' && protocol !== 'udp') throw invalid(shown, `there is no protocol ${JSON.stringify(protocol)} here, only tcp and udp`)
  if (!Number.isInteger(container) || container < 1 || container > 65_535) throw invalid(shown, 'a port is a number from 1 to 65535')
  if (address !== '' && isIP(address) === 0) throw invalid(shown, `${JSON.stringify(address)} is no IP address`)
  if (host !== undefined && preferred !== undefined) throw invalid(shown, 'host and preferred contradict each other')
  const wanted = preferred === undefined ? host === undefined || host === 0 ? undefined : range(String(host), shown) : range(String(preferred), shown)
  return { container, protocol, address, wanted, flexible: preferred !== undefined, published: host !== undefined || preferred !== undefined || address !== '' }
}

const FORM = /^(?:(?:(?<address>\d+(?:\.\d+){3}|localhost)|\[(?<six>[0-9a-fA-F:.]+)\]):)?(?:(?<host>[\d-]*):)?(?<container>[\d-]+)(?:\/(?<protocol>\w+))?$/

function parse(text: string): Binding[] {
  const { address, six, host, container = '', protocol = 'tcp' } = FORM.exec(text)?.groups ?? {}
  const shown = JSON.stringify(text)
  const kind = protocol.toLowerCase()
  if (container === '' || (host === undefined && (address ?? six) !== undefined)) throw invalid(shown, 'it has none of the forms of a port')
  if (kind !== 'tcp' && kind !== 'udp') throw invalid(shown, `there is no protocol ${JSON.stringify(protocol)} here, only tcp and udp`)
  const inner = range(container, shown)
  const outer = host === undefined || host === '' || host === '0' ? undefined : range(host, shown)
  const on = six ?? (address === 'localhost' ? '' : address ?? '')
  if (on !== '' && isIP(on) === 0) throw invalid(shown, `${on} is no IP address`)
  const [count, room] = [size(inner), outer === undefined ? 0 : size(outer)]
  if (outer !== undefined && count > 1 && room !== count) throw invalid(shown, 'the ranges have different lengths')
  return numbers(inner).map((number, at) => ({
    container: number, protocol: kind, address: on, flexible: false, published: host !== undefined,
    wanted: outer === undefined || count === 1 ? outer : { from: outer.from + at, to: outer.from + at },
  }))
}

function range(text: string, shown: string): { from: number; to: number } {
  const [, first = '', last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text) ?? []
  const [from, to] = [Number(first), Number(last)]
  if (first === '' || from < 1 || to > 65_535) throw invalid(shown, 'a port is a number from 1 to 65535')
  if (to < from) throw invalid(shown, 'the range ends before it begins')
  return { from, to }
}

function size({ from, to }: { readonly from: number; readonly to: number }): number {
  return to - from + 1
}

function numbers(all: { readonly from: number; readonly to: number }): number[] {
  return Array.from({ length: size(all) }, (_, at) => all.from + at)
}

function invalid(shown: string, why: string): MayflyError {
  return new MayflyError('ERR_MAYFLY_OPTION_INVALID', `Invalid port ${shown}: ${why}`, {
    hint: 'Ports are 80, "8080:80", "127.0.0.1:8080:80", "5000-5005:5000-5005/udp" or { container: 80, host: 8080 }.',
  })
}

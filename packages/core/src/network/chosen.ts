import { MayflyError } from '../errors.js'
import { Addresses, formatAddress, parseAddress } from './addresses.js'
import type { Subnet } from './subnets.js'

/** What a network's maker chose of its addresses. */
export interface Chosen {
  readonly subnet: Subnet
  readonly gateway: number
  readonly range: Subnet
}

/** A route of this machine. */
export interface MachineRoute extends Subnet {
  /** Whether its addresses are neighbours of the interface's. */
  readonly direct: boolean
  readonly interface: string
}

export interface Wish {
  readonly subnet?: string | undefined
  readonly gateway?: string | undefined
  readonly ipRange?: string | undefined
}

/** RFC 2544: every run's own addresses are from here (janitor.c). */
const OWN: Subnet = { base: parseAddress('198.18.0.0'), prefix: 15 }
const NOBODYS = ['0.0.0.0/8', '127.0.0.0/8', '224.0.0.0/3'].map((text) => parseSubnet(text))
/** Below it, a route is one of the ways to everything. */
const DEFAULTS = 8

/** Undefined when nothing was chosen. Throws ERR_MAYFLY_OPTION_INVALID for what contradicts itself or is no network. */
export function chooseSubnet({ subnet: text, gateway, ipRange }: Wish): Chosen | undefined {
  if (text === undefined) {
    const lone = gateway !== undefined ? 'gateway' : ipRange !== undefined ? 'ipRange' : undefined
    if (lone !== undefined) throw invalid(`${lone} without subnet: there is nothing for it to lie in`, "Give the subnet too, such as subnet: '172.28.0.0/16'.")
    return undefined
  }
  const subnet = parseSubnet(text)
  const whole = formatSubnet(subnet)
  if (subnet.prefix < 8 || subnet.prefix > 30) throw invalid(`Invalid subnet ${text}: it has room for nobody, or for too many`, 'Prefixes are from /8 to /30.')
  if (NOBODYS.some((one) => overlap(one, subnet))) throw invalid(`Invalid subnet ${text}: its addresses are no network's`, 'Private networks are in 10.0.0.0/8, 172.16.0.0/12 and 192.168.0.0/16.')
  if (overlap(OWN, subnet)) throw invalid(`Invalid subnet ${text}: Mayfly itself gives addresses from ${formatSubnet(OWN)}`, 'Choose one in 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16.')
  const at = gateway === undefined ? subnet.base + 1 : parseAddress(gateway)
  if (!usable(subnet, at)) throw invalid(`Invalid gateway ${formatAddress(at)}: no address for one in ${whole}`, undefined)
  const range = ipRange === undefined ? subnet : parseSubnet(ipRange)
  if (range.prefix < subnet.prefix || !contains(subnet, range.base)) throw invalid(`Invalid ipRange ${formatSubnet(range)}: it is not in ${whole}`, undefined)
  return { subnet, gateway: at, range }
}

/** The addresses of a chosen subnet: given out from its range, the gateway never. */
export function addressesOf({ subnet, gateway, range }: Chosen): Addresses {
  const [first, last] = [Math.max(range.base, subnet.base + 1), Math.min(endOf(range), endOf(subnet) - 1)]
  const addresses = Addresses.between(first, last)
  addresses.claim(gateway)
  return addresses
}

/** A container's address in a chosen subnet. Throws ERR_MAYFLY_OPTION_INVALID. */
export function chosenAddress(ip: string, { subnet }: Chosen): number {
  const address = parseAddress(ip)
  if (usable(subnet, address)) return address
  throw invalid(`Invalid ip ${ip}: no container can have it in ${formatSubnet(subnet)}`, `Choose from ${formatAddress(subnet.base + 1)} to ${formatAddress(endOf(subnet) - 1)}.`)
}

/**
 * Throws ERR_MAYFLY_ADDRESS_IN_USE where the subnet is another network's, or leads away from the machine what it reaches by a route of
 * its own. One that lies in what a wider route leads to beyond a router may be asked for.
 */
export function refuseOverlap(subnet: Subnet, others: readonly { readonly name: string, readonly subnet: Subnet }[], routes: readonly MachineRoute[]): void {
  const other = others.find((one) => overlap(one.subnet, subnet))
  if (other !== undefined) throw taken(subnet, `overlaps with that of the network ${other.name}, ${formatSubnet(other.subnet)}`)
  const route = routes.find((one) => one.prefix >= DEFAULTS && overlap(one, subnet) && (one.direct || one.prefix >= subnet.prefix))
  if (route !== undefined) throw taken(subnet, `overlaps with ${formatSubnet(route)}, which this machine reaches by ${route.interface}`)
}

function taken(subnet: Subnet, why: string): MayflyError {
  return new MayflyError('ERR_MAYFLY_ADDRESS_IN_USE', `The subnet ${formatSubnet(subnet)} ${why}`, { hint: 'Choose another, or leave it out: then one that is free is taken.' })
}

/** `172.28.0.0/16`. Throws ERR_MAYFLY_OPTION_INVALID. */
export function parseSubnet(text: string): Subnet {
  const [, address = '', bits = ''] = /^([\d.]+)\/(\d{1,2})$/.exec(text) ?? []
  if (address === '' || Number(bits) > 32) {
    throw invalid(`Invalid subnet ${JSON.stringify(text)}`, text.includes(':') ? 'Private networks speak IPv4: 172.28.0.0/16.' : 'It is an address and the length of its prefix: 172.28.0.0/16.')
  }
  const [given, prefix] = [parseAddress(address), Number(bits)]
  const base = given - given % 2 ** (32 - prefix)
  if (base !== given) throw invalid(`Invalid subnet ${text}: it begins within one`, `It should be ${formatSubnet({ base, prefix })}.`)
  return { base, prefix }
}

/** What stands in /proc/net/route: addresses and masks as this machine's numbers. */
export function parseRoutes(text: string): readonly MachineRoute[] {
  return text.split('\n').slice(1).flatMap((line) => {
    const [name = '', destination = '', gateway = '', , , , , mask = ''] = line.trim().split(/\s+/)
    if (mask === '') return []
    return [{ interface: name, base: swapped(destination), prefix: [...swapped(mask).toString(2)].filter((bit) => bit === '1').length, direct: Number.parseInt(gateway, 16) === 0 }]
  })
}

function swapped(hex: string): number {
  return Buffer.from(hex, 'hex').readUInt32LE()
}

export function formatSubnet({ base, prefix }: Subnet): string {
  return `${formatAddress(base)}/${String(prefix)}`
}

function endOf({ base, prefix }: Subnet): number {
  return base + 2 ** (32 - prefix) - 1
}

function contains(subnet: Subnet, address: number): boolean {
  return address >= subnet.base && address <= endOf(subnet)
}

/** Neither the subnet's own, nor everybody's. */
function usable(subnet: Subnet, address: number): boolean {
  return address > subnet.base && address < endOf(subnet)
}

function overlap(a: Subnet, b: Subnet): boolean {
  return contains(a, b.base) || contains(b, a.base)
}

function invalid(message: string, hint: string | undefined): MayflyError {
  return new MayflyError('ERR_MAYFLY_OPTION_INVALID', message, hint === undefined ? {} : { hint })
}

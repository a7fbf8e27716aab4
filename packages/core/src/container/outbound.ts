import { accessSync, closeSync, constants, openSync } from 'node:fs'
import { delimiter, join } from 'node:path'

import { isMayflyError, MayflyError } from '../errors.js'
import { METHOD } from '../native/index.js'
import { Writer } from '../native/bytes.js'
import { parseAddress } from '../network/addresses.js'
import type { Run } from './supervision.js'

/** How containers of a run get out, or why they do not. */
export type Outbound =
  /** Through the host, in its name; without root by a program that opens their connections again outside. */
  | { readonly way: 'host' | Relay }
  /** HTTP and TLS alone, for programs that heed HTTP_PROXY: see `docs/networks.md`. */
  | { readonly way: 'proxy'; readonly why: string; readonly mend: string }
  | { readonly way: 'none'; readonly why: string; readonly mend: string }

export type Relay = 'pasta' | 'slirp4netns'

const RELAYS = ['pasta', 'slirp4netns'] as const
const WORDS = [...RELAYS, 'proxy', 'off'] as const
const TUN = '/dev/net/tun'

/** The relay's own subnet, from the end of the range that runs take theirs from (janitor.c). */
const INTERFACE = 'out0'
const SUBNET = '198.19.255.0'
/** The native program knows where that is. */
const HUB = '@'
const [ADDRESS, GATEWAY] = ['198.19.255.100', '198.19.255.2']

/** Opens the run's way out once, when the first container that may use it starts. What is missing keeps no container from running. */
export function openOutbound(run: Run): Promise<Outbound> {
  run.outbound ??= run.reachable ? throughHost(run) : relayed(run)
  return run.outbound
}

async function throughHost({ connection }: Run): Promise<Outbound> {
  try {
    await connection.request(METHOD.outbound, new Writer().str('').u32(0).u16(0).take())
    return { way: 'host' }
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === 'ENETDOWN') {
      return { way: 'none', why: 'This machine passes no packets on (net.ipv4.ip_forward is 0)', mend: 'sysctl -w net.ipv4.ip_forward=1' }
    }
    return { way: 'none', why: `This kernel masquerades nothing: nf_tables ${errno}`, mend: 'modprobe nf_tables nft_chain_nat nft_masq' }
  }
}

/** An ordinary user's: pasta, else slirp4netns, else a proxy. MAYFLY_OUTBOUND names one, or `off`. */
async function relayed(run: Run): Promise<Outbound> {
  const forced = wordOf(process.env['MAYFLY_OUTBOUND'])
  if (run.hello.prefix === 0) return { way: 'none', why: 'Containers have no network here', mend: 'mayfly doctor' }
  if (forced === 'off') return { way: 'none', why: 'MAYFLY_OUTBOUND is off', mend: 'Leave it out.' }
  const lacking: string[] = []
  for (const name of RELAYS) {
    if (forced !== undefined && forced !== name) continue
    const program = pathOf(name)
    const why = program === undefined ? `${name} is not installed` : unopened(TUN) ?? await relay(run, name, program)
    if (why === undefined) return { way: name }
    if (!lacking.includes(why)) lacking.push(why)
  }
  return { way: 'proxy', why: lacking.length === 0 ? 'MAYFLY_OUTBOUND says so' : lacking.join(', '), mend: mendOf(lacking) }
}

/** Nothing when it works, else what does not. */
async function relay({ connection }: Run, name: Relay, program: string): Promise<string | undefined> {
  const words = [program, ...argumentsOf(name)]
  const fields = new Writer().str(INTERFACE).u32(parseAddress(GATEWAY))
  fields.list(words, (word) => fields.str(word))
  try {
    await connection.request(METHOD.outbound, fields.take())
    return undefined
  } catch (error) {
    return `${name} does not work here (${errnoOf(error)}; what it said is in the run's helpers.log)`
  }
}

/** Nothing of this machine's loopback is reached through them, and no name server of theirs is needed. */
function argumentsOf(name: Relay): readonly string[] {
  if (name === 'slirp4netns') {
    return ['--configure', '--mtu=65520', `--cidr=${SUBNET}/24`, '--disable-host-loopback', '--disable-dns', '--ready-fd=3', '--netns-type=path', HUB, INTERFACE]
  }
  const closed = ['-t', '-u', '-T', '-U'].flatMap((flag) => [flag, 'none'])
  return [
    '--quiet', '--config-net', '--netns-only', '--netns', HUB, '--ns-ifname', INTERFACE, '--ipv4-only', '--no-map-gw', '--no-dhcp', '--no-ra',
    '--address', ADDRESS, '--netmask', '24', '--gateway', GATEWAY, ...closed,
  ]
}

function mendOf(lacking: readonly string[]): string {
  if (lacking.some((why) => why.startsWith(TUN))) return `chmod 0666 ${TUN}`
  return 'apt-get install passt, or slirp4netns'
}

function wordOf(text: string | undefined): (typeof WORDS)[number] | undefined {
  if (text === undefined || text === '') return undefined
  const word = WORDS.find((one) => one === text)
  if (word !== undefined) return word
  throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `Invalid MAYFLY_OUTBOUND=${JSON.stringify(text)}: it is one of ${WORDS.join(', ')}`)
}

function pathOf(name: string): string | undefined {
  return (process.env['PATH'] ?? '').split(delimiter).filter((directory) => directory.startsWith('/')).map((directory) => join(directory, name)).find((path) => {
    try {
      accessSync(path, constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

function unopened(path: string): string | undefined {
  try {
    closeSync(openSync(path, 'r+'))
    return undefined
  } catch (error) {
    return `${path} does not open (${String((error as NodeJS.ErrnoException).code)})`
  }
}

function errnoOf(error: unknown): string {
  return isMayflyError(error) ? String(error.details['errno']) : 'unknown'
}

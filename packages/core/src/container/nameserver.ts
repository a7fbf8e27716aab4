import { readFileSync } from 'node:fs'

import { METHOD } from '../native/index.js'
import { Writer } from '../native/bytes.js'
import { parseAddress } from '../network/addresses.js'
import { HOST_NAMES, nameRecords, type NamedMember } from '../network/names.js'
import { formatResolvConf, parseResolvConf, resolverOf, upstreams, type Resolver, type ResolverOptions } from '../network/resolv.js'
import { sharedWith } from '../sandbox/index.js'
import type { PrivateNetwork } from './network.js'
import type { Run } from './supervision.js'

/** A container's name servers beside the machine's own. */
export interface Asking extends NamedMember {
  readonly dns?: readonly string[] | undefined
}

const PORT = 53
/** The network of containers that name none. */
const HUB = 0

/**
 * Tells the name server of a network what it knows, and whom to ask about the rest; none are asked for an internal one.
 * What is sent afterwards on the run's connection comes after it.
 */
export async function announceNames(run: Pick<Run, 'connection' | 'hello'>, network: number, members: readonly Asking[], internal: boolean): Promise<void> {
  const host = HOST_NAMES.map((name) => ({ name, address: run.hello.gateway }))
  const servers = internal ? [] : [
    ...upstreams(hostResolver().nameservers).map((server) => ({ source: 0, server })),
    ...members.flatMap(({ address, dns = [] }) => upstreams(dns).map((server) => ({ source: address, server }))),
  ]
  const fields = new Writer().u32(network)
  fields.list([...nameRecords(members), ...host], ({ name, address }) => fields.str(name).u32(address))
  fields.list(servers, ({ source, server }) => fields.u32(source).u32(parseAddress(server)).u16(PORT))
  await run.connection.request(METHOD.names, fields.take())
}

/** Opens the name server of the run's own network, once. */
export async function openNameServer(run: Run): Promise<void> {
  run.naming ??= announceNames(run, HUB, [], false)
  await run.naming
}

/** The content of a container's /etc/resolv.conf. */
export function resolvConf(run: Run, networks: readonly PrivateNetwork[], gateway: string, options: ResolverOptions & { readonly network?: string | undefined }): string {
  const other = sharedWith(options.network)
  if (other !== undefined) return run.members.get(other)?.resolv ?? ''
  const [main] = networks
  // As in Docker: name servers that are given are asked directly, but by networks that have names of their own.
  const own = options.network === undefined && run.hello.prefix !== 0 && (main !== undefined || options.dns === undefined)
  return formatResolvConf(resolverOf(hostResolver(), own ? main?.gateway ?? gateway : undefined, options))
}

let known: Resolver | undefined

function hostResolver(): Resolver {
  if (known !== undefined) return known
  let text = ''
  try {
    text = readFileSync('/etc/resolv.conf', 'utf8')
  } catch {
    // Without one there are no servers.
  }
  known = parseResolvConf(text)
  return known
}

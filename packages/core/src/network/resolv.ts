import { isIP, isIPv4 } from 'node:net'

import { MayflyError } from '../errors.js'

/** What a resolv.conf says (resolv.conf(5)). */
export interface Resolver {
  readonly nameservers: readonly string[]
  readonly search: readonly string[]
  readonly options: readonly string[]
}

export interface ResolverOptions {
  readonly dns?: readonly string[] | undefined
  readonly dnsSearch?: readonly string[] | undefined
  readonly dnsOptions?: readonly string[] | undefined
}

/** The last `search` or `domain` counts, all else adds up. */
export function parseResolvConf(text: string): Resolver {
  const lines = text.split('\n').map((line) => line.replace(/[#;].*$/, '').trim().split(/\s+/))
  const of = (word: string): string[] => lines.filter(([first]) => first === word).flatMap(([, ...rest]) => rest)
  const search = lines.findLast(([first]) => first === 'search' || first === 'domain')?.slice(1) ?? []
  return { nameservers: of('nameserver').filter((one) => isIP(one) > 0), search, options: of('options') }
}

export function formatResolvConf({ nameservers, search, options }: Resolver): string {
  return [
    ...nameservers.map((server) => `nameserver ${server}\n`),
    ...(search.length === 0 ? [] : [`search ${search.join(' ')}\n`]),
    ...(options.length === 0 ? [] : [`options ${options.join(' ')}\n`]),
  ].join('')
}

/**
 * The options over the machine's own. `gateway` is the name server of the container's network, which passes questions on;
 * without it the servers are asked directly.
 */
export function resolverOf(host: Resolver, gateway: string | undefined, { dns, dnsSearch, dnsOptions }: ResolverOptions): Resolver {
  return {
    nameservers: gateway === undefined ? dns ?? host.nameservers : [gateway],
    search: dnsSearch === undefined ? host.search : dnsSearch.filter((domain) => domain !== '.'),
    options: dnsOptions ?? host.options,
  }
}

/** Throws ERR_MAYFLY_OPTION_INVALID. */
export function checkResolver({ dns = [], dnsSearch = [], dnsOptions = [] }: ResolverOptions): void {
  refuse('dns', dns, (server) => isIP(server) === 0, 'it is no IP address')
  refuse('dnsSearch', dnsSearch, (domain) => domain !== '.' && !/^[\w-]+(?:\.[\w-]+)*\.?$/.test(domain), 'it is no domain')
  refuse('dnsOptions', dnsOptions, (option) => !/^[\w-]+(?::\d+)?$/.test(option), 'it is no option of resolv.conf')
}

/** Those a question can be passed on to. */
export function upstreams(servers: readonly string[]): string[] {
  return servers.filter((server) => isIPv4(server))
}

function refuse(option: string, values: readonly string[], wrong: (value: string) => boolean, why: string): void {
  const found = values.find((value) => typeof value !== 'string' || wrong(value))
  if (found !== undefined) throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `Invalid ${option} ${JSON.stringify(found)}: ${why}`)
}

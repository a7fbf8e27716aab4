import { isIP } from 'node:net'

import { invalid } from './invalid.js'
import type { SandboxOptions } from './options.js'

/** Another host, and its names. */
export interface Neighbour {
  readonly ip: string
  readonly names: readonly string[]
}

/** The content of /etc/hosts. */
export function hostsFile(own: { readonly ip: string; readonly hostname: string } | undefined, extraHosts: SandboxOptions['extraHosts'] = {}, neighbours: readonly Neighbour[] = []): string {
  const extra = Object.entries(extraHosts).map(([name, address]) => {
    if (!/^[\w.-]+$/.test(name)) throw invalid('extraHosts', name, 'it is no host name')
    if (isIP(address) === 0) throw invalid(`extraHosts ${name}`, address, 'it is no IP address')
    return `${address}\t${name}\n`
  })
  const mine = own === undefined ? [] : [`${own.ip}\t${own.hostname}\n`]
  return ['127.0.0.1\tlocalhost\n', '::1\tlocalhost ip6-localhost ip6-loopback\n', ...mine, ...neighbours.map(({ ip, names }) => `${ip}\t${names.join(' ')}\n`), ...extra].join('')
}

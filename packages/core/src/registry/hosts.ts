import { BlockList, isIP } from 'node:net'

/** Whether a URL's hostname is this machine's loopback. */
export function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(hostname)
}

/** Whether a host is named by an address that only means something locally. */
export function isPrivate(hostname: string): boolean {
  return isLoopback(hostname)
    // Any name below it, and with the root's dot, too. [RFC 6761, 6.3]
    || /(?:^|\.)localhost\.?$/.test(hostname)
    || /^(?:0|10|169\.254|192\.168|172\.(?:1[6-9]|2\d|3[01]))\./.test(hostname)
    || /^\[(?:::|f[cd]|fe[89ab])/i.test(hostname)
}

/** The name or address in `host[:port]`, without the brackets of IPv6. */
export function hostnameOf(host: string): string {
  return host.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1')
}

/** Whether an address lies in a network, `10.0.0.0/8` or `fd00::/8`. Names are in none: nobody is asked what they stand for. */
export function inNetwork(address: string, network: string): boolean {
  const [start = '', bits = ''] = network.split('/')
  const family = isIP(address)
  if (family === 0 || isIP(start) !== family || !/^\d{1,3}$/.test(bits) || Number(bits) > (family === 4 ? 32 : 128)) return false
  const type = family === 4 ? 'ipv4' : 'ipv6'
  const found = new BlockList()
  found.addSubnet(start, Number(bits), type)
  return found.check(address, type)
}

/** Whether `host[:port]` is the one of an entry: itself, `*.suffix`, or a network. */
export function isAmong(host: string, entries: readonly string[]): boolean {
  return entries.some((entry) => entry === host || inNetwork(hostnameOf(host), entry)
    || (entry.startsWith('*.') && (host.endsWith(entry.slice(1)) || hostnameOf(host).endsWith(entry.slice(1)))))
}

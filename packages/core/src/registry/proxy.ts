import { isIP } from 'node:net'

import { hostnameOf, inNetwork, isLoopback } from './hosts.js'
import type { ProxySettings } from './settings.js'

/**
 * The proxy for a URL, `undefined` for none: HTTPS_PROXY for https, HTTP_PROXY for http, in capitals or not. Never for
 * loopback, nor for what NO_PROXY names, as Go's programs read it: `*`; a name with all below it; `.name` or `*.name` with only what is
 * below; addresses; networks; each with or without a port.
 */
export function proxyFor(url: URL, { http, https, none }: ProxySettings): URL | undefined {
  const proxy = url.protocol === 'https:' ? https : http
  if (proxy === undefined || isLoopback(url.hostname) || isExempt(url, none)) return undefined
  const text = proxy.includes('://') ? proxy : `http://${proxy}`
  return URL.canParse(text) ? new URL(text) : undefined
}

function isExempt(url: URL, none: string): boolean {
  const name = hostnameOf(url.hostname).toLowerCase()
  const port = url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port
  return none.split(/[,\s]+/).filter((entry) => entry !== '').some((entry) => {
    if (entry === '*' || inNetwork(name, entry)) return true
    const [, withPort = entry, wantedPort = port] = (isIP(entry) === 6 ? null : /^(.*):(\d+)$/.exec(entry)) ?? []
    if (wantedPort !== port) return false
    const wanted = hostnameOf(withPort).toLowerCase()
    if (wanted.startsWith('*.') || wanted.startsWith('.')) return name.endsWith(wanted.replace(/^\*/, ''))
    return name === wanted || name.endsWith(`.${wanted}`)
  })
}

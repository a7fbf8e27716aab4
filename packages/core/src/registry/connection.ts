import type { SecureContext } from 'node:tls'
import type { Dispatcher } from 'undici'

import { certificatesOf, secureContext, type HostCertificates } from './certificates.js'
import type { DirectOptions } from './direct.js'
import { proxyFor } from './proxy.js'
import { registrySettings } from './settings.js'
import { undiciParts } from './undici.js'

/** Silence for so many seconds ends a request, unless MAYFLY_REGISTRY_TIMEOUT says otherwise. */
const STALL = 30
const CONNECT = 10_000

/** Whose word is taken for who a server is: Node's authorities', all that this machine trusts, or nobody's is needed. */
type Trust = 'node' | 'machine' | 'anybody'

const dispatchers = new Map<string, Dispatcher>()
/** Hosts that Node's own authorities do not vouch for. */
const beyondNode = new Set<string>()

/** The pool of connections for a URL: through its proxy, with its certificates. */
export async function dispatcherFor(url: URL, insecure: boolean): Promise<Dispatcher> {
  const { Agent } = await undiciParts()
  const { proxy, own, trust, stall } = wayTo(url, insecure)
  const named = trust === 'machine' ? [process.env['NODE_EXTRA_CA_CERTS'], process.env['SSL_CERT_FILE'], own, own === undefined ? '' : url.host] : []
  const key = JSON.stringify([trust, stall, proxy?.href, ...named])
  const there = dispatchers.get(key)
  if (there !== undefined) return there
  const settings = { headersTimeout: stall, bodyTimeout: stall }
  const tls = { timeout: CONNECT, ...trustOptions(trust, own) }
  const made = proxy === undefined
    ? new Agent({ ...settings, connect: tls })
    // What goes by plain HTTP is asked of the proxy itself: few let it through a tunnel.
    : new (await import('undici')).ProxyAgent({ ...settings, uri: proxy.href, proxyTunnel: false, requestTls: tls, proxyTls: { timeout: CONNECT, ...trustOptions('machine', undefined) } })
  dispatchers.set(key, made)
  return made
}

/** How to ask a URL without a pool; `undefined` where it is a proxy that asks. */
export function directOptions(url: URL, insecure: boolean): Pick<DirectOptions, 'connectTimeout' | 'stall' | 'tls'> | undefined {
  const { proxy, own, trust, stall } = wayTo(url, insecure)
  return proxy === undefined ? { connectTimeout: CONNECT, stall, tls: url.protocol === 'https:' ? trustOptions(trust, own) : {} } : undefined
}

interface Way {
  readonly proxy: URL | undefined
  readonly own: HostCertificates | undefined
  readonly trust: Trust
  /** In milliseconds. */
  readonly stall: number
}

function wayTo(url: URL, insecure: boolean): Way {
  const own = url.protocol === 'https:' ? ownCertificates(url) : undefined
  return {
    proxy: proxyFor(url, registrySettings().proxies),
    own,
    trust: own !== undefined ? 'machine' : insecure ? 'anybody' : beyondNode.has(url.host) ? 'machine' : 'node',
    stall: Number(process.env['MAYFLY_REGISTRY_TIMEOUT'] ?? '') * 1000 || STALL * 1000,
  }
}

/**
 * After a failure for want of an authority: whether another attempt asks more of them. The machine's are not asked first,
 * because reading them takes 40 ms.
 */
export function trustMore(url: URL): boolean {
  if (beyondNode.has(url.host) || ownCertificates(url) !== undefined) return false
  beyondNode.add(url.host)
  return true
}

function ownCertificates(url: URL): HostCertificates | undefined {
  return certificatesOf(url.host) ?? (url.port === '' ? certificatesOf(`${url.host}:443`) : undefined)
}

function trustOptions(trust: Trust, own: HostCertificates | undefined): { secureContext?: SecureContext, rejectUnauthorized?: boolean } {
  if (trust === 'node') return {}
  // Made once, because every connection would read all of them again.
  return trust === 'machine' ? { secureContext: secureContext(own) } : { rejectUnauthorized: false }
}

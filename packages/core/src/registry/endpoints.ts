import { MayflyError } from '../errors.js'

/** One place to ask for a registry's content. */
export interface Endpoint {
  /** Origin without a trailing slash: `https://registry-1.docker.io`. */
  readonly origin: string
  /** The host credentials are looked up for. */
  readonly host: string
  readonly mirror: boolean
}

/**
 * Where to ask for `registry`, in order: for docker.io the mirrors of MAYFLY_REGISTRY_MIRROR (URLs separated by
 * commas), then the registry itself. Plain HTTP only for loopback, or when a mirror's URL says so.
 */
export function endpointsFor(registry: string, env: Readonly<Record<string, string | undefined>> = process.env): Endpoint[] {
  if (registry !== 'docker.io') {
    const scheme = isLoopback(hostnameOf(registry)) ? 'http' : 'https'
    return [{ origin: `${scheme}://${registry}`, host: registry, mirror: false }]
  }
  const mirrors = (env['MAYFLY_REGISTRY_MIRROR'] ?? '').split(',').map((url) => url.trim()).filter((url) => url !== '')
  return [
    ...mirrors.map(mirrorEndpoint),
    { origin: 'https://registry-1.docker.io', host: 'docker.io', mirror: false },
  ]
}

export function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(hostname)
}

/** Whether a host is named by an address that only means something locally. */
export function isPrivate(hostname: string): boolean {
  return isLoopback(hostname)
    || /^(?:0|10|169\.254|192\.168|172\.(?:1[6-9]|2\d|3[01]))\./.test(hostname)
    || /^\[(?:::|f[cd]|fe[89ab])/i.test(hostname)
}

function mirrorEndpoint(text: string): Endpoint {
  try {
    const url = new URL(text.includes('://') ? text : `https://${text}`)
    if (url.protocol === 'http:' || url.protocol === 'https:') return { origin: url.origin, host: url.host, mirror: true }
  } catch {
    // reported below, like an unknown scheme
  }
  throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', 'MAYFLY_REGISTRY_MIRROR is not a list of http or https URLs', {
    hint: 'Set it to the origin of a mirror of Docker Hub, for example http://127.0.0.1:5000.',
  })
}

function hostnameOf(registry: string): string {
  return registry.replace(/:\d+$/, '')
}

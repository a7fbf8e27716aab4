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
 * commas), then the registry itself, unless the list ends in `off`. Plain HTTP only for loopback, or when a mirror's
 * URL says so. Throws ERR_MAYFLY_OPTION_INVALID for a list that is none or leaves nobody to ask.
 */
export function endpointsFor(registry: string, env: Readonly<Record<string, string | undefined>> = process.env): Endpoint[] {
  if (registry !== 'docker.io') {
    const scheme = isLoopback(hostnameOf(registry)) ? 'http' : 'https'
    return [{ origin: `${scheme}://${registry}`, host: registry, mirror: false }]
  }
  const places = (env['MAYFLY_REGISTRY_MIRROR'] ?? '').split(',').map((url) => url.trim()).filter((url) => url !== '')
  // As Go's GOPROXY ends its list: whatever the mirrors lack is then nowhere.
  const closed = places.at(-1) === 'off'
  const mirrors = (closed ? places.slice(0, -1) : places).map(mirrorEndpoint)
  if (closed && mirrors.length === 0) {
    throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', 'MAYFLY_REGISTRY_MIRROR=off leaves no place to pull from', {
      hint: 'Put a mirror before "off", for example http://127.0.0.1:5000,off; or use pull: \'never\'.',
    })
  }
  return closed ? mirrors : [...mirrors, { origin: 'https://registry-1.docker.io', host: 'docker.io', mirror: false }]
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
    hint: 'Set it to mirrors of Docker Hub separated by commas, for example http://127.0.0.1:5000; "off" at the end keeps Docker Hub out.',
  })
}

function hostnameOf(registry: string): string {
  return registry.replace(/:\d+$/, '')
}

import { MayflyError } from '../errors.js'
import { hostnameOf, isAmong, isLoopback } from './hosts.js'
import { registrySettings, type RegistryRule, type RegistrySettings } from './settings.js'

/** One place to ask for a registry's content. */
export interface Endpoint {
  /** Origin without a trailing slash: `https://registry-1.docker.io`. */
  readonly origin: string
  /** The host credentials are looked up for. */
  readonly host: string
  /** What the repository is called there. */
  readonly repository: string
  readonly mirror: boolean
  /** Whether plain HTTP, or a certificate that nobody vouches for, will do there. */
  readonly insecure: boolean
}

/** What is asked for. */
export interface Wanted {
  readonly registry: string
  readonly repository: string
  readonly digest?: unknown
}

/**
 * Where to ask for a repository, in order: the mirrors that registries.conf names for it; for docker.io those of
 * MAYFLY_REGISTRY_MIRROR, or else of Docker's daemon.json; then the registry itself, unless MAYFLY_REGISTRY_MIRROR ends in
 * `off`. Throws ERR_MAYFLY_OPTION_INVALID for a list that is none or leaves nobody to ask, ERR_MAYFLY_CONFIG_INVALID for a
 * file that cannot be understood, ERR_MAYFLY_REGISTRY_UNAVAILABLE for what registries.conf blocks.
 */
export function endpointsFor(wanted: Wanted, settings: RegistrySettings = registrySettings()): Endpoint[] {
  const own = homeEndpoint(wanted, settings)
  const hub = wanted.registry === 'docker.io'
  if (hub && settings.mirrors !== undefined) {
    // As Go's GOPROXY ends its list: whatever the mirrors lack is then nowhere.
    const closed = settings.mirrors.at(-1) === 'off'
    const mirrors = (closed ? settings.mirrors.slice(0, -1) : settings.mirrors).map((url) => mirrorAt(url, 'MAYFLY_REGISTRY_MIRROR', wanted, settings))
    if (closed && mirrors.length === 0) {
      throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', 'MAYFLY_REGISTRY_MIRROR=off leaves no place to pull from', {
        hint: 'Put a mirror before "off", for example http://127.0.0.1:5000,off; or use pull: \'never\'.',
      })
    }
    return closed ? mirrors : [...mirrors, own]
  }
  const rule = ruleFor(wanted, settings)
  const by = wanted.digest === undefined ? 'tag-only' : 'digest-only'
  const ruled = (rule?.mirrors ?? []).filter(({ only }) => only === 'all' || only === by)
    .map(({ location, insecure }) => ({ ...placeOf(moved(wanted, rule, location), settings, insecure), mirror: true }))
  const daemon = hub ? settings.hubMirrors.map((url) => mirrorAt(url, 'The list registry-mirrors in daemon.json', wanted, settings)) : []
  return [...ruled, ...daemon, own]
}

/** The registry itself, where pushes and logins go. */
export function homeEndpoint(wanted: Wanted, settings: RegistrySettings = registrySettings()): Endpoint {
  const rule = ruleFor(wanted, settings)
  if (rule?.blocked === true) {
    throw new MayflyError('ERR_MAYFLY_REGISTRY_UNAVAILABLE', `${rule.prefix} is blocked by ${rule.file}`, { hint: 'Its administrator forbids to pull from there.', details: { registry: wanted.registry } })
  }
  return placeOf(moved(wanted, rule, rule?.location ?? ''), settings, rule?.insecure === true)
}

function ruleFor({ registry, repository }: Wanted, { rules }: RegistrySettings): RegistryRule | undefined {
  const name = `${registry}/${repository}`
  const fits = rules.filter(({ prefix }) => prefix.startsWith('*.') ? hostnameOf(registry).endsWith(prefix.slice(1)) : name === prefix || name.startsWith(`${prefix}/`))
  return fits.sort((a, b) => b.prefix.length - a.prefix.length)[0]
}

/** `host/path` of what is wanted, its rule's prefix replaced. */
function moved({ registry, repository }: Wanted, rule: RegistryRule | undefined, location: string): string {
  const name = `${registry}/${repository}`
  if (rule === undefined || location === '') return name
  // A wildcard stands for the host alone.
  return `${location}${name.slice(rule.prefix.startsWith('*.') ? registry.length : rule.prefix.length)}`
}

function placeOf(name: string, settings: RegistrySettings, insecure: boolean): Endpoint {
  const slash = `${name}/`.indexOf('/')
  const host = name.slice(0, slash)
  const repository = name.slice(slash + 1)
  if (host === 'docker.io') return { origin: 'https://registry-1.docker.io', host, repository, mirror: false, insecure }
  const local = isLoopback(host.replace(/:\d+$/, ''))
  return { origin: `${local ? 'http' : 'https'}://${host}`, host, repository, mirror: false, insecure: insecure || local || isAmong(host, settings.insecure) }
}

/** A mirror may keep its copies below a path. */
function mirrorAt(text: string, where: string, { repository }: Wanted, settings: RegistrySettings): Endpoint {
  const full = text.includes('://') ? text : `https://${text}`
  const url = URL.canParse(full) ? new URL(full) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `${where} is not a list of http or https URLs`, {
      hint: 'Set it to mirrors of Docker Hub separated by commas, for example http://127.0.0.1:5000; "off" at the end keeps Docker Hub out.',
    })
  }
  const path = url.pathname.replace(/^\/v2(?=\/|$)/, '').replace(/^\/+|\/+$/g, '')
  const plain = url.protocol === 'http:' || isLoopback(url.hostname) || isAmong(url.host, settings.insecure)
  return { origin: url.origin, host: url.host, repository: path === '' ? repository : `${path}/${repository}`, mirror: true, insecure: plain }
}

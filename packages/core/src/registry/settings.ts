import { readdirSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

import { MayflyError, messageOf } from '../errors.js'
import { parseToml, type Table } from './toml.js'

export type Environment = Readonly<Record<string, string | undefined>>

/** What the environment, Docker's daemon.json and containers' registries.conf say of registries. */
export interface RegistrySettings {
  /** MAYFLY_REGISTRY_MIRROR, which stands for all other mirrors of Docker Hub; `off` at its end keeps Docker Hub out. */
  readonly mirrors: readonly string[] | undefined
  /** Docker's `registry-mirrors`. */
  readonly hubMirrors: readonly string[]
  /** Hosts, `*.suffixes` and networks that may be asked over plain HTTP, or with any certificate. */
  readonly insecure: readonly string[]
  readonly rules: readonly RegistryRule[]
  readonly proxies: ProxySettings
}

/** A `[[registry]]` of registries.conf. [containers-registries.conf(5)] */
export interface RegistryRule {
  /** `host[:port][/path…]` or `*.domain`. */
  readonly prefix: string
  /** What the prefix is replaced by. */
  readonly location: string
  readonly insecure: boolean
  readonly blocked: boolean
  readonly mirrors: readonly { readonly location: string, readonly insecure: boolean, readonly only: 'all' | 'digest-only' | 'tag-only' }[]
  /** The file that says so. */
  readonly file: string
}

export interface ProxySettings {
  readonly http: string | undefined
  readonly https: string | undefined
  readonly none: string
}

/**
 * Reads the settings. A file of the user's comes before the machine's, as with Docker without root and with podman; the
 * environment before both. Throws ERR_MAYFLY_CONFIG_INVALID for a file that cannot be understood: what it forbids must not
 * pass unnoticed.
 */
export function registrySettings(env: Environment = process.env, etc = '/etc'): RegistrySettings {
  const config = env['XDG_CONFIG_HOME'] ?? join(env['HOME'] ?? homedir(), '.config')
  const daemon = { ...daemonFile(join(etc, 'docker/daemon.json')), ...daemonFile(join(config, 'docker/daemon.json')) }
  const mirrors = words(env['MAYFLY_REGISTRY_MIRROR'])
  return {
    mirrors: mirrors.length === 0 ? undefined : mirrors,
    hubMirrors: strings(daemon['registry-mirrors']),
    insecure: [...words(env['MAYFLY_INSECURE_REGISTRIES']), ...strings(daemon['insecure-registries'])].map((one) => one.replace(/^https?:\/\//, '')),
    rules: rulesOf(env, [join(config, 'containers'), join(etc, 'containers')]),
    proxies: proxiesOf(env, daemon['proxies']),
  }
}

function proxiesOf(env: Environment, daemon: unknown): ProxySettings {
  const variable = (name: string): string | undefined => env[name.toLowerCase()] || env[name] || undefined
  const own = { http: variable('HTTP_PROXY'), https: variable('HTTPS_PROXY'), none: variable('NO_PROXY') ?? '' }
  if (own.http !== undefined || own.https !== undefined || typeof daemon !== 'object' || daemon === null) return own
  const { 'http-proxy': http, 'https-proxy': https, 'no-proxy': none } = daemon as Table
  return { http: text(http), https: text(https), none: own.none === '' ? text(none) ?? '' : own.none }
}

function daemonFile(path: string): Table {
  const content = read(path)
  if (content === undefined || content.trim() === '') return {}
  try {
    const value: unknown = JSON.parse(content)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Table
    throw new Error('it is no object')
  } catch (cause) {
    throw unreadable(path, cause)
  }
}

/** The first file there is, and of each directory's parts the first of a name; later parts come before earlier ones. */
function rulesOf(env: Environment, homes: readonly string[]): RegistryRule[] {
  const named = env['CONTAINERS_REGISTRIES_CONF']
  const mains = named === undefined || named === '' ? homes.map((home) => join(home, 'registries.conf')) : [named]
  const main = mains.find((path) => read(path) !== undefined)
  const parts = new Map<string, string>()
  for (const home of homes) {
    const directory = join(home, 'registries.conf.d')
    for (const name of list(directory)) if (name.endsWith('.conf') && !parts.has(name)) parts.set(name, join(directory, name))
  }
  const files = [...(main === undefined ? [] : [main]), ...[...parts].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, path]) => path)]
  const rules = new Map<string, RegistryRule>()
  for (const file of files) for (const rule of rulesIn(file)) rules.set(rule.prefix, rule)
  return [...rules.values()]
}

function rulesIn(file: string): RegistryRule[] {
  try {
    const { registry } = parseToml(read(file) ?? '')
    return tables(registry).map((one) => {
      const location = text(one['location'])
      const prefix = text(one['prefix']) ?? location
      if (prefix === undefined) throw new Error('a [[registry]] has neither prefix nor location')
      if (location === undefined && !prefix.startsWith('*.')) throw new Error(`the [[registry]] ${prefix} has no location`)
      return {
        prefix, file, location: location ?? '', insecure: one['insecure'] === true, blocked: one['blocked'] === true,
        mirrors: tables(one['mirror']).map((mirror) => ({
          location: text(mirror['location']) ?? '', insecure: mirror['insecure'] === true,
          only: one['mirror-by-digest-only'] === true ? 'digest-only' as const : pulledBy(mirror['pull-from-mirror']),
        })).filter((mirror) => mirror.location !== ''),
      }
    })
  } catch (cause) {
    throw unreadable(file, cause)
  }
}

function pulledBy(value: unknown): 'all' | 'digest-only' | 'tag-only' {
  return value === 'digest-only' || value === 'tag-only' ? value : 'all'
}

function unreadable(path: string, cause: unknown): MayflyError {
  return new MayflyError('ERR_MAYFLY_CONFIG_INVALID', `${path} cannot be understood: ${messageOf(cause)}`, {
    cause, hint: 'It says which registries are trusted, mirrored or blocked; nothing is pulled before it is mended.',
  })
}

/** What may not be read is somebody else's. */
function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

function list(path: string): string[] {
  try {
    return readdirSync(path).sort()
  } catch {
    return []
  }
}

function words(value: string | undefined): string[] {
  return (value ?? '').split(',').map((word) => word.trim()).filter((word) => word !== '')
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((one) => typeof one === 'string') : []
}

function tables(value: unknown): Table[] {
  return Array.isArray(value) ? value.filter((one): one is Table => typeof one === 'object' && one !== null) : []
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

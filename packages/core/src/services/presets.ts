import type { Container } from '../container/types.js'
import type { Self, Service, ServiceOptions } from './types.js'

export interface HttpContainer extends Container {
  /** `http://host:port`, without a slash at the end. */
  readonly url: string
  /** Requests a path of this server. */
  fetch(path: string, init?: RequestInit): Promise<Response>
}

export interface PostgresContainer extends Container {
  /** `postgres://user:password@host:port/database` */
  readonly url: string
  readonly user: string
  readonly password: string
  readonly database: string
}

export interface RedisContainer extends Container {
  /** `redis://host:port` */
  readonly url: string
}

/** The handle of each preset. */
export interface Presets {
  httpd: HttpContainer
  postgres: PostgresContainer
  redis: RedisContainer
}

export type PresetName = keyof Presets

/** Plain facts of an instance beside its address: they cross from the run host to the tests. */
export type Facts = Readonly<Record<string, string>>

/** When a preset's server answers, in terms that need no code of ours inside the container. */
export interface PresetReadiness {
  readonly port: number
  readonly http?: string
  /** A line the server logs this many times before it takes clients for good. */
  readonly log?: { readonly line: RegExp; readonly times: number }
}

export interface Preset {
  readonly ports: readonly number[]
  readonly env: Readonly<Record<string, string>>
  readonly ready: PresetReadiness
  facts(self: Self, env: Readonly<Record<string, string | undefined>>): Facts
}

export const PRESETS: Readonly<Record<PresetName, Preset>> = {
  httpd: {
    ports: [80],
    env: {},
    ready: { port: 80, http: '/' },
    facts: self => ({ url: `http://${self.host}:${String(self.port(80))}` }),
  },
  postgres: {
    ports: [5432],
    env: { POSTGRES_PASSWORD: 'mayfly' },
    // The first "ready" is the entrypoint's temporary server, which listens on its socket only.
    ready: { port: 5432, log: { line: /ready to accept connections/, times: 2 } },
    facts: (self, env) => {
      const user = env['POSTGRES_USER'] ?? 'postgres'
      const password = env['POSTGRES_PASSWORD'] ?? ''
      const database = env['POSTGRES_DB'] ?? user
      const [u, p, d] = [user, password, database].map(encodeURIComponent)
      const url = `postgres://${u ?? ''}:${p ?? ''}@${self.host}:${String(self.port(5432))}/${d ?? ''}`
      return { url, user, password, database }
    },
  },
  redis: {
    ports: [6379],
    env: {},
    ready: { port: 6379 },
    facts: self => ({ url: `redis://${self.host}:${String(self.port(6379))}` }),
  },
}

/** PostgreSQL. Default image `postgres:17`, user `postgres`, password `mayfly`, database `postgres`. */
export const postgres = preset('postgres', 'postgres:17')
/** Redis. Default image `redis:7`. */
export const redis = preset('redis', 'redis:7')
/** Apache's httpd. Default image `httpd`. */
export const httpd = preset('httpd', 'httpd')

/** A service from any image. A preset's image brings that preset's readiness and handle. */
export function image(reference: string, options: ServiceOptions<Container> = {}): Service {
  return { image: reference, preset: presetOf(reference), options: options as ServiceOptions<never> }
}

/** The preset an image's base name selects: `postgres` for `docker.io/library/postgres:17`. */
export function presetOf(reference: string): PresetName | undefined {
  const base = (reference.split('@')[0] ?? '').replace(/^.*\//, '').replace(/:.*$/, '')
  return Object.hasOwn(PRESETS, base) ? (base as PresetName) : undefined
}

interface PresetService<C extends Container> {
  (options?: ServiceOptions<C>): Service<C>
  (reference: string, options?: ServiceOptions<C>): Service<C>
}

function preset<N extends PresetName>(name: N, standard: string): PresetService<Presets[N]> {
  type Options = ServiceOptions<Presets[N]>
  return (first: string | Options = {}, second: Options = {}) => ({
    image: typeof first === 'string' ? first : standard,
    preset: name,
    options: (typeof first === 'string' ? second : first) as ServiceOptions<never>,
  })
}

/** The image a preset's bare name stands for. */
export const PRESET_IMAGES: Readonly<Record<PresetName, string>> = { httpd: 'httpd', postgres: 'postgres:17', redis: 'redis:7' }

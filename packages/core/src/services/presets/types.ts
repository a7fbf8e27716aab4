import type { Container } from '../../container/types.js'
import type { Self } from '../types.js'

/** Plain facts of an instance beside its address: they cross from the run host to the tests. */
export type Facts = Readonly<Record<string, string>>

export type Environment = Readonly<Record<string, string | undefined>>

/** When a preset's server answers, in terms that need no code of ours inside the container. */
export interface PresetReadiness {
  readonly port: number
  readonly http?: string
  /** A line the server logs this many times before it takes clients for good. */
  readonly log?: { readonly line: RegExp; readonly times: number }
}

/** What is known of a server's image without looking into it. */
export interface Preset {
  /** The image a bare name stands for. */
  readonly image: string
  /** Base names of images that are this server, its own name apart. */
  readonly aliases?: readonly string[]
  readonly ports: readonly number[]
  /** The container's environment, which the service's own options override. */
  readonly env: Readonly<Record<string, string>> | ((self: Self) => Readonly<Record<string, string>>)
  /** For images whose own command does not start the server. */
  readonly command?: readonly string[]
  ready(env: Environment): PresetReadiness
  /** Of an instance whose data is there already. Default: as `ready`. */
  readyAgain?(env: Environment): PresetReadiness
  /** Files of the stopped server that its copies must not have, as `SnapshotOptions.clear`. */
  readonly clear?: readonly string[]
  facts(self: Self, env: Environment): Facts
}

/** `scheme://user:password@host:port/path`, its parts escaped. */
export function urlOf(scheme: string, self: Self, port: number, rest: { user?: string; password?: string; path?: string } = {}): string {
  const { user, password, path } = rest
  const login = user === undefined ? '' : `${encodeURIComponent(user)}:${encodeURIComponent(password ?? '')}@`
  return `${scheme}://${login}${self.host}:${String(self.port(port))}${path === undefined ? '' : `/${encodeURIComponent(path)}`}`
}

export interface UrlContainer extends Container {
  readonly url: string
}

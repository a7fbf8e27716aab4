import type { Container } from '../../container/types.js'
import type { Inside, Self } from '../types.js'

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
  /**
   * How the server of an image with this very entrypoint is started on data that is there: past the entrypoint, a shell script
   * that has nothing left to do. `programs` are those it knows; what begins with a dash is for the first.
   */
  readonly past?: { readonly entrypoint: readonly string[]; readonly programs: readonly string[]; readonly user: string }
  /** What its server ends cleanly at, as its official image says too: others made of it may have forgotten. Default: as the image says. */
  readonly stopSignal?: string
  ready(env: Environment): PresetReadiness
  /** Of an instance whose data is there already. Default: as `ready`. */
  readyAgain?(env: Environment): PresetReadiness
  /** Does ahead what the first client of a server that has just started would wait for. Its failures are nobody's. */
  readonly greet?: (server: Server) => Promise<void>
  /** Files of the stopped server that its copies must not have, as `SnapshotOptions.clear`. */
  readonly clear?: readonly string[]
  facts(self: Self, env: Environment): Facts
  /** The same as other containers see it. Default: `facts` at that place. */
  inside?(place: Inside, env: Environment): Facts
  /** How its state is kept and brought back while it runs. */
  readonly state?: StateKeeping
  /** How one server holds several databases. */
  readonly databases?: Databases
}

/** A running server, to be talked to by its image's own tools, or at its ports. */
export interface Server {
  readonly container: Pick<Container, 'exec' | 'urlOf' | 'socket'>
  readonly env: Environment
}

/** A server's state, kept in its container's files, so that copies of the container have it too. */
export interface StateKeeping {
  /** Remembers the state as it is now. Absent: what was prepared cannot be brought back, only the empty server be had again. */
  readonly keep?: (server: Server) => Promise<void>
  /** One that was not prepared is empty: nothing of it is kept, and its start waits for nothing. */
  readonly beginsEmpty?: boolean
  /** Back to what was kept, in one of its databases or in all. Clients stay connected. */
  restore(server: Server, database?: string): Promise<void>
}

/** Databases of one server; each begins as a copy of the state that was kept. */
export interface Databases {
  /** The name of the nth, from 1 on. Unlike that of any other. */
  name(env: Environment, nth: number): string
  /** An environment whose facts tell of this database. */
  inside(env: Environment, database: string): Environment
  create(server: Server, database: string): Promise<void>
  /** Whoever is connected to it is cut. */
  drop(server: Server, database: string): Promise<void>
  /** What the server is started with, to have room for them. */
  readonly command?: readonly string[]
}

/** `scheme://user:password@host:port/path`, its parts escaped. */
export function urlOf(scheme: string, self: Self, port: number, rest: { user?: string; password?: string; path?: string } = {}): string {
  const { user, password, path } = rest
  const login = user === undefined ? '' : `${encodeURIComponent(user)}:${encodeURIComponent(password ?? '')}@`
  return `${scheme}://${login}${self.host}:${String(self.port(port))}${path === undefined ? '' : `/${encodeURIComponent(path)}`}`
}

/** A handle whose service can go back to its prepared state while clients stay connected. */
export interface Resettable {
  /** Throws ERR_MAYFLY_UNSUPPORTED when nothing was kept to go back to. */
  reset(): Promise<void>
}

/** The same facts as other containers see them. */
export interface SeenInside<F> {
  readonly inside: Inside & F
}

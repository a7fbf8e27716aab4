import type { Container, RunOptions } from '../container/types.js'
import type { PresetAliases, Presets } from './presets/index.js'
import type { Shell } from './shell.js'

/** How long an instance lives, and who shares it. */
export type Scope = 'run' | 'worker' | 'file' | 'test'

/** What `env` and `exports` may read before the container runs: its address, fixed for the slot. */
export interface Self {
  readonly host: string
  /** The number under which the container's port is reached. Throws ERR_MAYFLY_OPTION_INVALID for a port it lacks. */
  port(container: number): number
  /** Where services that need it reach it; absent when none does. */
  readonly inside?: Inside
}

/** What a service's `prepare` may use besides the service itself. */
export interface PrepareTools {
  /** Runs a command in the configuration's directory, with the service's `exports` set. */
  readonly sh: Shell
  /** The configuration's directory. */
  readonly directory: string
}

/** How a service is brought into the state that every instance begins with. Done once, and kept. */
export interface Prepare<C> {
  /** Files the state depends on, as patterns relative to the configuration: `migrations/**\/*.sql`. */
  readonly inputs?: readonly string[] | undefined
  readonly run: (service: C, tools: PrepareTools) => unknown
}

/** When a shared instance goes back to its prepared state, inside the running server; clients stay connected. */
export type Reset = 'never' | 'file' | 'test'

/** Services that another one needs, by the name it knows them under. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- options of different services meet here; their handles come back out by `Needed`
export type Needs = Readonly<Record<string, Service<any>>>

/** The plain facts of a handle: what is known of a service beside its address. */
export type FactsOf<C> = Omit<C, keyof Container | 'fetch' | 'reset' | 'inside'>

/** A needed service as `env` sees it: where tests reach it, and `inside`, where containers of its network do. */
export type Needed<C> = Self & FactsOf<C> & { readonly inside: Inside & FactsOf<C> }

/** Where something is reached from another container. */
export interface Inside {
  /** A name on the private network, or an address. */
  readonly host: string
  /** The container's own number. */
  port(container: number): number
}

export interface ServiceOptions<C, N extends Needs = Needs> extends Omit<RunOptions, 'env'> {
  /** Default `file`. A use site may narrow it, never widen it. */
  readonly scope?: Scope | undefined
  /** Services that run before this one, on a private network with it, where their names are the keys. */
  readonly needs?: N | undefined
  /** The container's environment. A function gets the address it will have and the services it needs. */
  readonly env?: Readonly<Record<string, string>> | ((self: Self, needs: { readonly [K in keyof N]: N[K] extends Service<infer D> ? Needed<D> : never }) => Readonly<Record<string, string>>) | undefined
  /**
   * Done once to a fresh instance, which is then stopped and kept; every instance is a copy of it. Done again when the
   * image, the options, the inputs, the configuration or the lock file change, or MAYFLY_REBUILD_SNAPSHOTS=1.
   */
  readonly prepare?: Prepare<C> | Prepare<C>['run'] | undefined
  /** Default `file` for scope `worker` where the preset knows how, else `never`. Not for scope `run`, which several workers use at a time. */
  readonly reset?: Reset | undefined
  /** `database`: one server for the run, and a database of it per worker, file or test. For postgres, mariadb, mysql, redis and valkey. Default `container`. */
  readonly isolation?: 'container' | 'database' | undefined
  /** `eager`: started with the run. Default: when first leased. */
  readonly start?: 'lazy' | 'eager' | undefined
  /**
   * Address of a server to use instead of a container. On a database server every worker gets a database of its own, which
   * is dropped afterwards; nothing else there is touched. MAYFLY_EXTERNAL_<NAME> says the same. Default none.
   */
  readonly external?: string | undefined
  /** Set in the tests' environment before their code loads. */
  readonly exports?: Readonly<Record<string, (self: C) => string>> | undefined
}

declare const handleType: unique symbol

/** A service of the configuration: what to run, and the handle a test gets for it. */
export interface Service<C extends Container = Container> {
  readonly [handleType]?: C
  readonly image: string
  readonly preset: keyof Presets | undefined
  readonly options: AnyOptions
}

/** Options of different services meet in one table: their handle types differ, their form does not. */
export interface AnyOptions extends Omit<ServiceOptions<never>, 'env'> {
  readonly env?: Readonly<Record<string, string>> | ((self: Self, needs: never) => Readonly<Record<string, string>>) | undefined
}

export type Services = Readonly<Record<string, Service>>

export interface Config<S extends Services = Services> {
  readonly services: S
}

/** Augment it with `config: typeof config` to have the names of your services typed. */
// eslint-disable-next-line @typescript-eslint/no-empty-object-type -- made to be augmented
export interface Register {}

/** The services of a configuration, by its type. */
export type ServicesOf<C> = C extends Config<infer S> ? S : never

export type Registered = Register extends { readonly config: Config<infer S> } ? S : Record<never, Service>

/** Text that names an image and never a service. */
export type ImageRef = `${string}:${string}` | `${string}/${string}` | `${string}@${string}`

/** What `container()`, pragmas and `withContainers` accept. */
export type Name<S = Registered> = (keyof S & string) | (keyof Presets & string) | ImageRef

/** The handle that belongs to a name: the service's, else the preset's by the image's base name, else `Container`. */
export type Handle<N extends string, S = Registered> = N extends keyof S
  ? S[N] extends Service<infer C> ? C : Container
  : BaseName<N> extends keyof Presets ? Presets[BaseName<N>]
    : BaseName<N> extends keyof PresetAliases ? Presets[PresetAliases[BaseName<N>]] : Container

/** What `withContainers` takes per argument: a name, or a name with a narrower scope or a name of its own. */
export type NamedUse<S = Registered> = Name<S> | { readonly name: Name<S>; readonly as?: string; readonly scope?: Scope }

/** The handle of a {@link NamedUse}. */
export type HandleOf<U, S = Registered> = U extends string ? Handle<U, S> : U extends { readonly name: infer N extends string } ? Handle<N, S> : never

type BaseName<N extends string> = N extends `${string}/${infer Rest}`
  ? BaseName<Rest>
  : N extends `${infer Base}@${string}`
    ? BaseName<Base>
    : N extends `${infer Base}:${string}` ? Base : N

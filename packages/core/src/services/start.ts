import type { FoundImage, HeldAddress } from '../container/index.js'
import type { Container, Health, Listening, Network, NetworkOptions, Reached, RunOptions, Snapshot, WaitStrategy } from '../container/types.js'
import { MayflyError } from '../errors.js'
import type { Address } from './address.js'
import { containerPorts, parsePorts } from '../network/ports.js'
import { PRESETS, type Environment, type Facts, type Preset } from './presets/index.js'
import type { Inside, Self, Service } from './types.js'

/** The part of the library beneath that the run host uses. */
export interface Engine {
  run(image: string, options: RunOptions): Promise<Container>
  network(options?: NetworkOptions): Promise<Network>
  /** Lets all containers of the run reach a server of this machine. */
  reach(server: Listening): Promise<Reached>
  /** Tells what every check of a container says, until what is answered is called. */
  followHealth(container: Container, tell: (health: Health) => void): () => void
  /** Pulls the image if need be. */
  findImage(reference: string, options: Pick<RunOptions, 'pull' | 'platform' | 'signal' | 'onPull'>): Promise<FoundImage>
  openHeldAddress(tcp: readonly number[], udp?: readonly number[]): Promise<HeldAddress>
  /** A snapshot of an earlier start, or of another process's. */
  openSnapshot(key: string, options: RunOptions): Promise<Snapshot | undefined>
  /** Work that only one process of this user does at a time. */
  alone<T>(name: string, work: () => Promise<T>): Promise<T>
  readonly wait: {
    port(port: number): WaitStrategy
    http(path: string, options: { port: number }): WaitStrategy
    log(line: RegExp, options: { times: number }): WaitStrategy
    all(...ready: readonly WaitStrategy[]): WaitStrategy
  }
}

/** What a service's functions are told: its address, the services it needs, and the database that is meant. */
export interface Setting {
  readonly self: Self
  /** By key, as `env` gets them. */
  readonly needs?: Readonly<Record<string, unknown>> | undefined
  /** One of several databases of the server. */
  readonly database?: string | undefined
}

export interface StartOptions {
  readonly setting?: Setting | undefined
  /** The private network of the services it needs, and what it is called there. */
  readonly place?: Pick<RunOptions, 'network' | 'aliases'> | undefined
  readonly signal?: AbortSignal | undefined
  /** The service's prepared state, for containers with these options. */
  readonly prepared?: { readonly image: FoundImage; readonly of: (options: RunOptions) => Promise<Snapshot> } | undefined
}

/** Starts one instance of a service, from its prepared state where it has one, and waits until it is ready. */
export async function startService(engine: Engine, service: Service, { setting, place, signal, prepared }: StartOptions): Promise<Container> {
  const options = { ...runOptions(engine, service, setting, prepared?.image), ...place, signal }
  return prepared === undefined ? await engine.run(service.image, options) : await (await prepared.of(options)).run(options)
}

/** What a service's containers run with. `again`: the image of those that start from prepared data. */
export function runOptions(engine: Engine, service: Service, setting: Setting = UNKNOWN, again?: FoundImage): RunOptions {
  const {
    scope: _scope, exports: _exports, env: _env, pull: _pull, prepare: _prepare, needs: _needs, reset: _reset, isolation: _isolation,
    start: _start, external: _external, ...options
  } = service.options
  const environment = environmentOf(service, setting)
  const stopSignal = options.stopSignal ?? presetOf(service)?.stopSignal
  return {
    ...options,
    ...(stopSignal === undefined ? {} : { stopSignal }),
    ...commandOf(service),
    ...pastEntrypoint(service, again),
    env: environment as Readonly<Record<string, string>>,
    ports: options.ports ?? portsOf(service),
    ready: options.ready ?? presetReadiness(engine, service, environment, again !== undefined),
  }
}

/** Where an instance without a fixed address is reached. */
export function addressOf(service: Service, container: Container, { needs, database }: Partial<Setting> = {}): Address {
  const ports = [...new Set([...portsOf(service), ...container.ports])].map(port => [String(port), container.port(port)])
  return { host: container.host, ports: Object.fromEntries(ports) as Address['ports'], facts: factsOf(service, { self: container, needs, database }), exports: {} }
}

/** The container ports known before the start: the preset's, and those listed in `ports`. */
export function portsOf(service: Service): readonly number[] {
  const own = containerPorts(parsePorts(service.options.ports))
  return [...new Set([...(presetOf(service)?.ports ?? []), ...own])]
}

/** Those of datagrams that are listed in `ports`. */
export function udpPortsOf({ options: { ports } }: Service): readonly number[] {
  return containerPorts(parsePorts(ports), 'udp')
}

/** The preset's facts of a service. */
export function factsOf(service: Service, setting: Setting): Facts {
  return presetOf(service)?.facts(setting.self, environmentOf(service, setting)) ?? {}
}

/** The same as containers see them that reach the service at `place`. */
export function insideFactsOf(service: Service, place: Inside, setting: Setting): Facts {
  const preset = presetOf(service)
  if (preset === undefined) return {}
  const env = environmentOf(service, setting)
  return preset.inside?.(place, env) ?? preset.facts(place, env)
}

/** The variables a service sets in the tests' environment. */
export function exportsOf(service: Service, setting: Setting): Readonly<Record<string, string>> {
  return exportsFrom(service, { host: setting.self.host, port: container => setting.self.port(container), ...factsOf(service, setting) })
}

/** The same of whatever has the facts. */
export function exportsFrom({ options }: Service, known: Self & Facts | Self): Readonly<Record<string, string>> {
  const urlOf = (container: number, scheme = 'http'): string => `${scheme}://${known.host}:${String(known.port(container))}`
  const exports: Readonly<Record<string, (self: never) => string>> = options.exports ?? {}
  return Object.fromEntries(Object.entries(exports).map(([name, value]) => [name, value({ ...known, urlOf } as never)]))
}

/** The container's environment; of one database among several, as if the server were its own. */
export function environmentOf(service: Service, { self, needs = {}, database }: Setting): Environment {
  const { env } = service.options
  const preset = presetOf(service)
  const whole = { ...valueOf(preset?.env ?? {}, self, needs), ...valueOf(env ?? {}, self, needs) }
  return database === undefined ? whole : preset?.databases?.inside(whole, database) ?? whole
}

type Words = Readonly<Record<string, string>>

function valueOf(env: Words | ((self: Self, needs: never) => Words), self: Self, needs: Readonly<Record<string, unknown>>): Words {
  return typeof env === 'function' ? env(self, needs as never) : env
}

/** Whether a service must know its address before it runs. */
export function needsAddress(service: Service): boolean {
  return typeof service.options.env === 'function' || typeof presetOf(service)?.env === 'function'
}

export function presetOf({ preset }: Service): Preset | undefined {
  return preset === undefined ? undefined : PRESETS[preset]
}

function commandOf(service: Service): Pick<RunOptions, 'command'> {
  const { options } = service
  if (options.entrypoint !== undefined || options.command !== undefined) return {}
  const preset = presetOf(service)
  const command = (options.isolation === 'database' ? preset?.databases?.command : undefined) ?? preset?.command
  return command === undefined ? {} : { command }
}

/** The server itself, on data that is there; nothing where the image, or the service, may mean something else by its entrypoint. */
function pastEntrypoint(service: Service, image: FoundImage | undefined): Pick<RunOptions, 'entrypoint' | 'command' | 'user'> {
  const { options } = service
  const past = presetOf(service)?.past
  if (image === undefined || past === undefined || options.entrypoint !== undefined || options.user !== undefined) return {}
  if (image.entrypoint.length !== past.entrypoint.length || image.entrypoint.some((word, at) => word !== past.entrypoint[at])) return {}
  const words = options.command ?? commandOf(service).command ?? image.command
  if (typeof words === 'string') return {}
  // As the entrypoint has it: what begins with a dash is the server's.
  const command = words[0]?.startsWith('-') === true ? [...past.programs.slice(0, 1), ...words] : words
  return past.programs.includes(command[0] ?? '') ? { entrypoint: [], command, user: past.user } : {}
}

function presetReadiness({ wait }: Engine, service: Service, env: Environment, again: boolean): WaitStrategy | undefined {
  const preset = presetOf(service)
  if (preset === undefined) return undefined
  const { port, http, log } = again && preset.readyAgain !== undefined ? preset.readyAgain(env) : preset.ready(env)
  if (http !== undefined) return wait.http(http, { port })
  return log === undefined ? wait.port(port) : oneAfterTheOther(wait.log(log.line, { times: log.times }), wait.port(port))
}

/** A port is looked at each millisecond: before the line has come that would take the supervisor longer than all it does for the start. */
function oneAfterTheOther(first: WaitStrategy, second: WaitStrategy): WaitStrategy {
  return {
    description: `${first.description} and ${second.description}`,
    ready: async context => {
      await first.ready(context)
      await second.ready(context)
    },
  }
}

const UNKNOWN: Setting = {
  self: {
    get host(): never {
      throw early()
    },
    port: () => {
      throw early()
    },
  },
}

function early(): MayflyError {
  return new MayflyError('ERR_MAYFLY_NOT_STARTED', 'Only a service of the configuration knows its address before it runs')
}

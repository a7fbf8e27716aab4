import type { FoundImage, HeldAddress } from '../container/index.js'
import type { Container, Listening, Reached, RunOptions, Snapshot, WaitStrategy } from '../container/types.js'
import { MayflyError } from '../errors.js'
import type { Address } from './addresses.js'
import { containerPorts, parsePorts } from '../network/ports.js'
import { PRESETS, type Facts } from './presets/index.js'
import type { Self, Service } from './types.js'

/** The part of the library beneath that the run host uses. */
export interface Engine {
  run(image: string, options: RunOptions): Promise<Container>
  /** Pulls the image if need be. */
  findImage(reference: string, options: Pick<RunOptions, 'pull' | 'platform' | 'signal'>): Promise<FoundImage>
  openHeldAddress(containerPorts: readonly number[]): Promise<HeldAddress>
  /** Lets all containers of the run reach a server of this machine. */
  reach(server: Listening): Promise<Reached>
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

export interface StartOptions {
  /** The address tests will use, where it is known before the start. */
  readonly self: Self | undefined
  readonly signal?: AbortSignal | undefined
  /** The service's prepared state, for containers with these options. */
  readonly prepared?: ((options: RunOptions) => Promise<Snapshot>) | undefined
}

/** Starts one instance of a service, from its prepared state where it has one, and waits until it is ready. */
export async function startService(engine: Engine, service: Service, { self, signal, prepared }: StartOptions): Promise<Container> {
  const options = { ...runOptions(engine, service, self, prepared !== undefined), signal }
  return prepared === undefined ? await engine.run(service.image, options) : await (await prepared(options)).run(options)
}

/** What a service's containers run with. `self` is their address where it is known before; `again`: they start from prepared data. */
export function runOptions(engine: Engine, service: Service, self: Self = unknownAddress, again = false): RunOptions {
  const { scope: _scope, exports: _exports, env: _env, pull: _pull, prepare: _prepare, ...options } = service.options
  const environment = environmentOf(service, self)
  return {
    ...options,
    ...commandOf(service),
    env: environment,
    ports: options.ports ?? portsOf(service),
    ready: options.ready ?? presetReadiness(engine, service, environment, again),
  }
}

/** Where an instance without a fixed address is reached. */
export function addressOf(service: Service, container: Container): Address {
  const ports = [...new Set([...portsOf(service), ...container.ports])].map(port => [String(port), container.port(port)])
  return { host: container.host, ports: Object.fromEntries(ports) as Address['ports'], facts: factsOf(service, container), exports: {} }
}

/** The container ports known before the start: the preset's, and those listed in `ports`. */
export function portsOf(service: Service): readonly number[] {
  const own = containerPorts(parsePorts(service.options.ports))
  return [...new Set([...(service.preset === undefined ? [] : PRESETS[service.preset].ports), ...own])]
}

/** The preset's facts of a service reached at `self`. */
export function factsOf(service: Service, self: Self): Facts {
  return service.preset === undefined ? {} : PRESETS[service.preset].facts(self, environmentOf(service, self))
}

/** The variables a service sets in the tests' environment when it is reached at `self`. */
export function exportsOf(service: Service, self: Self): Readonly<Record<string, string>> {
  const handle = { ...self, ...factsOf(service, self) } as never
  const exports: Readonly<Record<string, (self: never) => string>> = service.options.exports ?? {}
  return Object.fromEntries(Object.entries(exports).map(([name, value]) => [name, value(handle)]))
}

function environmentOf(service: Service, self: Self): Readonly<Record<string, string>> {
  const { env } = service.options
  const preset = service.preset === undefined ? {} : PRESETS[service.preset].env
  return { ...valueOf(preset, self), ...(env === undefined ? {} : valueOf(env, self)) }
}

type Environment = Readonly<Record<string, string>>

function valueOf(env: Environment | ((self: Self) => Environment), self: Self): Environment {
  return typeof env === 'function' ? env(self) : env
}

/** Whether a service must know its address before it runs. */
export function needsAddress({ preset, options: { env } }: Service): boolean {
  return typeof env === 'function' || (preset !== undefined && typeof PRESETS[preset].env === 'function')
}

function commandOf({ preset, options }: Service): Pick<RunOptions, 'command'> {
  const command = preset === undefined || options.entrypoint !== undefined ? undefined : PRESETS[preset].command
  return command === undefined || options.command !== undefined ? {} : { command }
}

function presetReadiness({ wait }: Engine, service: Service, env: Environment, again: boolean): WaitStrategy | undefined {
  if (service.preset === undefined) return undefined
  const preset = PRESETS[service.preset]
  const { port, http, log } = again && preset.readyAgain !== undefined ? preset.readyAgain(env) : preset.ready(env)
  if (http !== undefined) return wait.http(http, { port })
  return log === undefined ? wait.port(port) : wait.all(wait.log(log.line, { times: log.times }), wait.port(port))
}

const unknownAddress: Self = {
  get host(): never {
    throw early()
  },
  port: () => {
    throw early()
  },
}

function early(): MayflyError {
  return new MayflyError('ERR_MAYFLY_NOT_STARTED', 'Only a service of the configuration knows its address before it runs')
}

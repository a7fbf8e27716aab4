import { appendFile } from 'node:fs/promises'
import type { Container, RunOptions, WaitStrategy } from '../container/types.js'
import { MayflyError } from '../errors.js'
import { PRESETS, type Facts } from './presets.js'
import type { Self, Service } from './types.js'

/** The part of the library beneath that the run host uses. */
export interface Engine {
  run(image: string, options: RunOptions): Promise<Container>
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
  readonly signal: AbortSignal
}

/** Starts one instance of a service and waits until it is ready. */
export async function startService(engine: Engine, service: Service, { self, signal }: StartOptions): Promise<Container> {
  const { scope: _scope, exports: _exports, env: _env, ...options } = service.options
  const began = performance.now()
  const container = await engine.run(service.image, {
    ...options,
    signal,
    env: environmentOf(service, self ?? unknownAddress),
    ports: options.ports ?? portsOf(service),
    ready: options.ready ?? presetReadiness(engine, service),
  })
  await trace({ name: container.name, image: service.image, ms: performance.now() - began })
  return container
}

/** One line per start in the file that MAYFLY_TRACE_FILE names, for whoever wants to know what ran. */
async function trace(start: { readonly name: string; readonly image: string; readonly ms: number }): Promise<void> {
  const path = process.env['MAYFLY_TRACE_FILE']
  if (path !== undefined && path !== '') await appendFile(path, `${JSON.stringify(start)}\n`)
}

/** The container ports known before the start: the preset's, and those listed in `ports`. */
export function portsOf(service: Service): readonly number[] {
  const own = (service.options.ports ?? []).map(port => (typeof port === 'object' ? port.container : Number(port)))
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
  return { ...preset, ...(typeof env === 'function' ? env(self) : env) }
}

function presetReadiness({ wait }: Engine, service: Service): WaitStrategy | undefined {
  if (service.preset === undefined) return undefined
  const { port, http, log } = PRESETS[service.preset].ready
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

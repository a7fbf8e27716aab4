import { createHash } from 'node:crypto'
import { dirname } from 'node:path'
import type { FoundImage } from '../container/index.js'
import type { Container, RunOptions, Snapshot } from '../container/types.js'
import { isMayflyError, MayflyError, messageOf } from '../errors.js'
import { openAddress } from './addresses.js'
import { clientsOf, type Client } from './clients.js'
import { hashInputs } from './inputs.js'
import type { Journal } from './journal.js'
import { lastLines } from './leases.js'
import { shellIn } from './shell.js'
import { environmentOf, exportsOf, factsOf, needsAddress, presetOf, runOptions, type Engine, type Setting } from './start.js'
import type { Prepare, Self, Service } from './types.js'

/** Where a service stands: its configuration and its name there. */
export interface Identity {
  readonly config: string
  readonly name: string
}

/** The prepared states of a run: each is made once, by whichever process comes first, and kept for later runs. */
export interface Prepared {
  /** The snapshot a service's instances start from. Throws ERR_MAYFLY_PREPARE_FAILED. */
  of(service: Service, identity: Identity, image: FoundImage, options: RunOptions, circumstances?: Circumstances): Promise<Snapshot>
}

export type Place = Pick<RunOptions, 'network' | 'aliases'>

/** What the first instance of all runs with, of a service that needs others. */
export interface Circumstances {
  readonly setting: Pick<Setting, 'needs'> | undefined
  /** Asked for when there is something to prepare. */
  readonly place: () => Promise<Place | undefined>
}

const ALONE: Circumstances = { setting: undefined, place: () => Promise.resolve(undefined) }

export function createPrepared(engine: Engine, journal: Journal): Prepared {
  const known = new Map<string, Promise<Snapshot>>()
  return {
    of: (service, identity, image, options, circumstances = ALONE) => {
      const key = snapshotKey(service, identity, image)
      const there = known.get(key)
      if (there !== undefined) return there
      const made = obtain({ engine, journal, service, identity, key, options, ...circumstances })
      known.set(key, made)
      made.catch(() => known.delete(key))
      return made
    },
  }
}

/** What the state depends on: the image, the service's options, and the inputs. */
export function snapshotKey(service: Service, { config, name }: Identity, { digest }: FoundImage): string {
  const { scope: _scope, exports: _exports, reset: _reset, start: _start, external: _external, pull: _pull, ...options } = service.options
  const hash = createHash('sha256').update(`2\0${name}\0${digest}\0${plain(options)}\0`)
  const { prepare } = service.options
  hashInputs(hash, config, name, typeof prepare === 'object' ? prepare.inputs ?? [] : [])
  return `${slug(name)}-${hash.digest('hex').slice(0, 32)}`
}

/** Functions by their text: what they call lies in the configuration's modules, which count as well. */
function plain(options: object): string {
  return JSON.stringify(options, (_, value: unknown) => (typeof value === 'function' || value instanceof RegExp ? String(value) : value))
}

function slug(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-/, 'x-')
}

const rebuilt = new Set<string>()

interface Wanted extends Circumstances {
  readonly engine: Engine
  readonly journal: Journal
  readonly service: Service
  readonly identity: Identity
  readonly key: string
  readonly options: RunOptions
}

async function obtain(wanted: Wanted): Promise<Snapshot> {
  const { engine, key, options } = wanted
  const again = process.env['MAYFLY_REBUILD_SNAPSHOTS'] === '1' && !rebuilt.has(key)
  const found = again ? undefined : await engine.openSnapshot(key, options)
  if (found !== undefined) return found
  return await engine.alone(`prepare-${key}`, async () => {
    // Somebody else may have made it while this one waited.
    const meanwhile = again ? undefined : await engine.openSnapshot(key, options)
    if (meanwhile !== undefined) return meanwhile
    rebuilt.add(key)
    return await make(wanted)
  })
}

async function make({ engine, journal, service, identity: { config, name }, key, options, setting, place }: Wanted): Promise<Snapshot> {
  const began = performance.now()
  const company = await place()
  const address = needsAddress(service) ? await openAddress(engine, service, { ports: [], udpPorts: [] }, { needs: setting?.needs }) : undefined
  const first: Setting | undefined = address === undefined ? undefined : { self: address.self, needs: setting?.needs }
  const container = await engine.run(service.image, { ...runOptions(engine, service, first), ...company, scratch: 'disk' })
  try {
    await address?.aim(container)
    const whole: Setting = first ?? { self: container }
    const directory = dirname(config)
    const sh = shellIn(directory, exportsOf(service, { ...whole, self: container }), AbortSignal.timeout(LONGEST))
    await prepareOf(service)(withFacts(container, factsOf(service, { ...whole, self: container })) as never, { sh, directory })
    await warnOfClients(name, first?.self ?? container, container.ports)
    await presetOf(service)?.state?.keep?.({ container, env: environmentOf(service, whole) })
    const clear = presetOf(service)?.clear ?? []
    const kept = await container.snapshot({ key, label: `${name} of ${config}`, clear })
    journal.note({ event: 'prepared', name, ms: Math.round(performance.now() - began) })
    // Opened anew: the clones' options are not those of the first start.
    return await engine.openSnapshot(key, options) ?? kept
  } catch (error) {
    const lines = await lastLines(container, PREPARE_LINES)
    await container.stop({ timeout: 0 }).catch(() => undefined)
    throw failed(name, error, lines)
  } finally {
    await address?.close()
  }
}

/** They are cut when the container stops. A close that is under way is given a moment. */
async function warnOfClients(name: string, at: Self, ports: readonly number[]): Promise<void> {
  const numbers = new Set(ports.map(port => at.port(port)))
  for (let turn = 0; ; turn += 1) {
    const clients = await clientsOf(at.host, numbers)
    if (clients.length === 0) return
    if (turn === 20) return void process.stderr.write(leftConnected(name, clients))
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

function leftConnected(name: string, clients: readonly Client[]): string {
  const several = clients.length > 1 ? 'connections' : 'a connection'
  const lines = clients.map(({ owner, local, remote }) => `  ${owner}, from ${local} to ${remote}\n`)
  return `mayfly: the \`prepare\` of "${name}" left ${several} open, cut now. Close its clients at the end:\n${lines.join('')}`
}

/** Migrations of a big project take their time; one that hangs shall not hang a build for hours. */
const LONGEST = 10 * 60_000
const PREPARE_LINES = 30

function prepareOf({ options }: Service): Prepare<never>['run'] {
  const { prepare } = options
  return typeof prepare === 'function' ? prepare : prepare?.run ?? (() => undefined)
}

/** A container that also answers its preset's facts. */
function withFacts(container: Container, facts: Readonly<Record<string, string>>): object {
  return new Proxy(container, {
    get: (target, key) => {
      if (typeof key === 'string' && Object.hasOwn(facts, key)) return facts[key]
      const value = Reflect.get(target, key, target) as unknown
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
}

function failed(name: string, cause: unknown, lines: readonly string[]): MayflyError {
  const why = messageOf(cause)
  const said = lines.length === 0 ? '' : `\n  the last lines of its container:\n${lines.map(line => `    ${line}`).join('\n')}`
  return new MayflyError('ERR_MAYFLY_PREPARE_FAILED', `"${name}" could not be prepared: ${why}${said}`, {
    cause,
    hint: isMayflyError(cause) ? cause.hint : undefined,
    details: { service: name },
  })
}

import { createHash } from 'node:crypto'
import { dirname } from 'node:path'
import type { FoundImage } from '../container/index.js'
import type { Container, RunOptions, Snapshot } from '../container/types.js'
import { isMayflyError, MayflyError } from '../errors.js'
import { openAddress } from './addresses.js'
import { hashInputs } from './inputs.js'
import { PRESETS } from './presets/index.js'
import { shellIn } from './shell.js'
import { exportsOf, factsOf, needsAddress, runOptions, type Engine } from './start.js'
import type { Prepare, Service } from './types.js'

/** Where a service stands: its configuration and its name there. */
export interface Identity {
  readonly config: string
  readonly name: string
}

/** The prepared states of a run: each is made once, by whichever process comes first, and kept for later runs. */
export interface Prepared {
  /** The snapshot a service's instances start from. Throws ERR_MAYFLY_PREPARE_FAILED. */
  of(service: Service, identity: Identity, image: FoundImage, options: RunOptions): Promise<Snapshot>
}

export function createPrepared(engine: Engine): Prepared {
  const known = new Map<string, Promise<Snapshot>>()
  return {
    of: (service, identity, image, options) => {
      const key = snapshotKey(service, identity, image)
      const there = known.get(key)
      if (there !== undefined) return there
      const made = obtain(engine, service, identity, key, options)
      known.set(key, made)
      made.catch(() => known.delete(key))
      return made
    },
  }
}

/** What the state depends on: the image, the service's options, and the inputs. */
export function snapshotKey(service: Service, { config, name }: Identity, { digest }: FoundImage): string {
  const hash = createHash('sha256').update(`1\0${name}\0${digest}\0${plain(service.options)}\0`)
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

async function obtain(engine: Engine, service: Service, identity: Identity, key: string, options: RunOptions): Promise<Snapshot> {
  const again = process.env['MAYFLY_REBUILD_SNAPSHOTS'] === '1' && !rebuilt.has(key)
  const found = again ? undefined : await engine.openSnapshot(key, options)
  if (found !== undefined) return found
  return await engine.alone(`prepare-${key}`, async () => {
    // Somebody else may have made it while this one waited.
    const meanwhile = again ? undefined : await engine.openSnapshot(key, options)
    if (meanwhile !== undefined) return meanwhile
    rebuilt.add(key)
    return await make(engine, service, identity, key, options)
  })
}

async function make(engine: Engine, service: Service, { config, name }: Identity, key: string, options: RunOptions): Promise<Snapshot> {
  const address = needsAddress(service) ? await openAddress(engine, service, []) : undefined
  const container = await engine.run(service.image, { ...runOptions(engine, service, address?.self), scratch: 'disk' })
  try {
    await address?.aim(container)
    const directory = dirname(config)
    const sh = shellIn(directory, exportsOf(service, container), AbortSignal.timeout(LONGEST))
    await prepareOf(service)(withFacts(container, factsOf(service, container)) as never, { sh, directory })
    const clear = service.preset === undefined ? [] : PRESETS[service.preset].clear ?? []
    const kept = await container.snapshot({ key, label: `${name} of ${config}`, clear })
    // Opened anew: the clones' options are not those of the first start.
    return await engine.openSnapshot(key, options) ?? kept
  } catch (error) {
    const lines = await lastLines(container)
    await container.stop({ timeout: 0 })
    throw failed(name, error, lines)
  } finally {
    await address?.close()
  }
}

/** Migrations of a big project take their time; one that hangs shall not hang a build for hours. */
const LONGEST = 10 * 60_000
const SHOWN_LINES = 30

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

async function lastLines(container: Container): Promise<readonly string[]> {
  const lines: string[] = []
  try {
    for await (const { text } of container.logs({ tail: SHOWN_LINES })) lines.push(text)
  } catch {
    // Gone with its log.
  }
  return lines
}

function failed(name: string, cause: unknown, lines: readonly string[]): MayflyError {
  const why = cause instanceof Error ? cause.message : String(cause)
  const said = lines.length === 0 ? '' : `\n  the last lines of its container:\n${lines.map(line => `    ${line}`).join('\n')}`
  return new MayflyError('ERR_MAYFLY_PREPARE_FAILED', `"${name}" could not be prepared: ${why}${said}`, {
    cause,
    hint: isMayflyError(cause) ? cause.hint : undefined,
    details: { service: name },
  })
}

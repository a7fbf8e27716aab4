import { isDigest, type Digest } from '../digest.js'
import { MayflyError } from '../errors.js'
import { parseJson } from '../registry/manifest.js'

/** How an image wants to be run: the `config` object of its OCI configuration. Absent fields have their defaults. */
export interface ImageConfig {
  /** `NAME=value`. */
  readonly Env: readonly string[]
  readonly Cmd: readonly string[]
  readonly Entrypoint: readonly string[]
  /** `5432/tcp`. */
  readonly ExposedPorts: readonly string[]
  /** Absolute paths. */
  readonly Volumes: readonly string[]
  /** `user[:group]`, names or numbers; empty for root. */
  readonly User: string
  readonly WorkingDir: string
  /** `SIGTERM` or a number; `undefined` for the default. */
  readonly StopSignal?: string
  readonly Healthcheck?: Healthcheck
  readonly Labels: Readonly<Record<string, string>>
}

/** Docker's extension; times are nanoseconds, 0 or absent for the default. */
export interface Healthcheck {
  readonly Test: readonly string[]
  readonly Interval?: number
  readonly Timeout?: number
  readonly StartPeriod?: number
  readonly StartInterval?: number
  readonly Retries?: number
}

export interface ParsedConfig {
  readonly config: ImageConfig
  /** Bottom first. */
  readonly diffIds: readonly Digest[]
  readonly architecture: string
  readonly os: string
  readonly variant?: string
  readonly created?: string
}

/** Reads an image configuration. Throws ERR_MAYFLY_MANIFEST_INVALID. */
export function parseConfig(bytes: Buffer, layers: number, what: string): ParsedConfig {
  const json = record(parseJson(bytes, `The config of ${what}`))
  const rootfs = record(json['rootfs'])
  const diffIds = rootfs['diff_ids']
  if (!Array.isArray(diffIds) || !diffIds.every(isDigest)) throw invalid(what, 'it does not list its layers')
  if (diffIds.length !== layers) throw invalid(what, `it lists ${diffIds.length} layers and the manifest ${layers}`)
  const os = text(json['os']) ?? 'linux'
  if (os !== 'linux') throw new MayflyError('ERR_MAYFLY_PLATFORM_MISMATCH', `${what} is an image for ${os.slice(0, 40)}, not for Linux`)
  const variant = text(json['variant'])
  const created = text(json['created'])
  return {
    config: runConfig(record(json['config'])),
    diffIds,
    os,
    architecture: text(json['architecture']) ?? '',
    ...(variant === undefined ? {} : { variant }),
    ...(created === undefined ? {} : { created }),
  }
}

function runConfig(raw: Record<string, unknown>): ImageConfig {
  const stopSignal = text(raw['StopSignal'])
  const healthcheck = healthcheckOf(record(raw['Healthcheck']))
  return {
    Env: strings(raw['Env']).filter((entry) => entry.indexOf('=') > 0),
    Cmd: strings(raw['Cmd']),
    Entrypoint: strings(raw['Entrypoint']),
    ExposedPorts: Object.keys(record(raw['ExposedPorts'])),
    Volumes: Object.keys(record(raw['Volumes'])),
    User: text(raw['User']) ?? '',
    WorkingDir: text(raw['WorkingDir']) ?? '',
    Labels: Object.fromEntries(Object.entries(record(raw['Labels'])).filter((entry): entry is [string, string] => typeof entry[1] === 'string')),
    ...(stopSignal === undefined ? {} : { StopSignal: stopSignal }),
    ...(healthcheck === undefined ? {} : { Healthcheck: healthcheck }),
  }
}

function healthcheckOf(raw: Record<string, unknown>): Healthcheck | undefined {
  const test = strings(raw['Test'])
  if (test.length === 0) return undefined
  const numbers = ['Interval', 'Timeout', 'StartPeriod', 'StartInterval', 'Retries']
    .flatMap((name) => typeof raw[name] === 'number' ? [[name, raw[name]] as const] : [])
  return { Test: test, ...Object.fromEntries(numbers) }
}

function strings(value: unknown): string[] {
  const list: unknown[] = Array.isArray(value) ? value : []
  return list.filter((entry): entry is string => typeof entry === 'string' && !entry.includes('\0'))
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' && !value.includes('\0') ? value : undefined
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value as Record<string, unknown> : {}
}

function invalid(what: string, why: string): MayflyError {
  return new MayflyError('ERR_MAYFLY_MANIFEST_INVALID', `The config of ${what} cannot be used: ${why}`)
}

import { MayflyError } from '../errors.js'
import { parseSize } from '../units.js'

/** What a layer may become on the disk, whatever it was compressed to. */
export interface LayerLimits {
  /** Bytes of its plain tar. */
  readonly size: number
  /** Plain bytes for each compressed one, above the first gigabyte. Gzip reaches 1,032. */
  readonly ratio: number
  /** Entries of its archive. */
  readonly entries: number
}

const DEFAULTS: LayerLimits = { size: 32 * 2 ** 30, ratio: 500, entries: 1_000_000 }
const FREE = 2 ** 30

/**
 * The limits of MAYFLY_LAYER_MAX_SIZE (`64g`), MAYFLY_LAYER_MAX_RATIO and MAYFLY_LAYER_MAX_ENTRIES; default 32 GiB, 500, a million.
 * Throws ERR_MAYFLY_OPTION_INVALID.
 */
export function layerLimits(env: Readonly<Record<string, string | undefined>> = process.env): LayerLimits {
  const size = env['MAYFLY_LAYER_MAX_SIZE']
  return {
    size: size === undefined || size === '' ? DEFAULTS.size : parseSize(size),
    ratio: count('MAYFLY_LAYER_MAX_RATIO', env) ?? DEFAULTS.ratio,
    entries: count('MAYFLY_LAYER_MAX_ENTRIES', env) ?? DEFAULTS.entries,
  }
}

/** Bytes that the plain tar of a layer of so many compressed bytes may have. */
export function plainLimit(compressed: number, { size, ratio }: LayerLimits): number {
  return Math.min(size, Math.max(Math.min(FREE, size), compressed * ratio))
}

function count(name: string, env: Readonly<Record<string, string | undefined>>): number | undefined {
  const text = env[name]
  if (text === undefined || text === '') return undefined
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text)
  throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `${name} is not a whole number of at most nine digits: ${text.slice(0, 40)}`)
}

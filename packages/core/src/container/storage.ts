import { MayflyError } from '../errors.js'
import { parseSize } from '../units.js'
import type { RunOptions } from './types.js'

/** Bytes of the writable layer, where it has a limit. Throws ERR_MAYFLY_OPTION_INVALID. */
export function storageOf({ storage }: Pick<RunOptions, 'storage'>): number | undefined {
  if (storage === undefined) return undefined
  const bytes = parseSize(storage)
  if (bytes < 2 ** 16) throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `Invalid storage ${JSON.stringify(storage)}: at least 64k`)
  return bytes
}

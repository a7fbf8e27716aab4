import { createHash } from 'node:crypto'
import { dirname, relative } from 'node:path'
import { MayflyError } from '../errors.js'
import { loadConfig } from './config.js'
import { findConfig } from './find-config.js'
import { hashInputs } from './inputs.js'
import type { Config } from './types.js'

/** The configuration that holds for a directory. Throws ERR_MAYFLY_CONFIG_NOT_FOUND, ERR_MAYFLY_CONFIG_INVALID. */
export async function configOf(directory: string): Promise<{ readonly path: string; readonly config: Config }> {
  const path = findConfig(directory)
  if (path !== undefined) return { path, config: await loadConfig(path) }
  throw new MayflyError('ERR_MAYFLY_CONFIG_NOT_FOUND', `No mayfly.config was found in ${directory}, nor above it`, {
    hint: 'Make one (defineConfig of @mayfly/core), or name images: mayfly pull postgres:17',
  })
}

/** The images that a configuration's services need, each once. */
export function imagesOf({ services }: Config): readonly { readonly image: string; readonly platform: string | undefined }[] {
  const all = Object.values(services).map(({ image, options: { platform } }) => ({ image, platform }))
  return [...new Map(all.map(one => [`${one.image} ${one.platform ?? ''}`, one])).values()]
}

/**
 * A key for a CI's cache of MAYFLY_HOME: it changes when the configuration does, with its modules, the services' inputs or
 * the lock file, and with the version of the store.
 */
export async function cacheKey(directory: string): Promise<string> {
  const { path, config } = await configOf(directory)
  const hash = createHash('sha256').update(`${String(STORE_VERSION)} ${process.arch} ${relative(directory, dirname(path))}`)
  for (const [name, { image, options }] of Object.entries(config.services)) {
    const { prepare } = options
    hash.update(`\0${name}\0${image}\0`)
    hashInputs(hash, path, name, typeof prepare === 'object' ? prepare.inputs ?? [] : [])
  }
  return `mayfly-${process.arch}-${hash.digest('hex').slice(0, 32)}`
}

const STORE_VERSION = 1

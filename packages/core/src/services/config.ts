import { existsSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { MayflyError } from '../errors.js'
import type { Config, Services } from './types.js'

const NAMES = ['ts', 'mts', 'cts', 'js', 'mjs', 'cjs'].map(extension => `mayfly.config.${extension}`)
const SCOPES: readonly unknown[] = [undefined, 'run', 'worker', 'file', 'test']

/** Declares the services of a project. Checks nothing by itself: the run host does when it loads the file. */
export function defineConfig<const S extends Services>(config: Config<S>): Config<S> {
  return config
}

/** The nearest `mayfly.config.*` from a directory upwards, or undefined. */
export function findConfig(from: string): string | undefined {
  for (let directory = resolve(from); ; directory = dirname(directory)) {
    const found = NAMES.map(name => join(directory, name)).find(path => existsSync(path))
    if (found !== undefined || directory === dirname(directory)) return found
  }
}

/** Loads a configuration afresh, TypeScript included, outside the tests' module system. Throws ERR_MAYFLY_CONFIG_INVALID. */
export async function loadConfig(path: string): Promise<Config> {
  let loaded: unknown
  try {
    loaded = await importModule(path)
  } catch (cause) {
    throw new MayflyError('ERR_MAYFLY_CONFIG_INVALID', `Cannot load ${path}: ${reason(cause)}`, { cause })
  }
  return checked(loaded, path)
}

/** A module's default export, else its namespace: TypeScript or JavaScript of either module system, loaded by jiti. */
export async function importModule(path: string): Promise<unknown> {
  const { createJiti } = await import('jiti')
  return await createJiti(path, { moduleCache: false, fsCache: false }).import(path, { default: true })
}

function checked(config: unknown, path: string): Config {
  const services = isRecord(config) ? config['services'] : undefined
  if (!isRecord(services)) throw invalid(path, 'its default export has no `services`')
  for (const [name, service] of Object.entries(services)) {
    if (!/^[A-Za-z_][\w-]*$/.test(name)) throw invalid(path, `"${name}" is no name of a service (letters, digits, _ and -)`)
    if (!isRecord(service) || typeof service['image'] !== 'string' || !isRecord(service['options'])) {
      throw invalid(path, `"${name}" is no service`)
    }
    if (!SCOPES.includes(service['options']['scope'])) throw invalid(path, `"${name}" has an unknown scope`)
  }
  return config as unknown as Config
}

function invalid(path: string, why: string): MayflyError {
  return new MayflyError('ERR_MAYFLY_CONFIG_INVALID', `${path}: ${why}`, {
    hint: 'export default defineConfig({ services: { db: postgres(), web: image(\'nginx:1\') } })',
  })
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

function reason(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}

import { isError, MayflyError } from '../errors.js'
import type { Config, Services } from './types.js'

/** Declares the services of a project. Checks nothing by itself: the run host does when it loads the file. */
export function defineConfig<const S extends Services>(config: Config<S>): Config<S> {
  return config
}

/** Loads a configuration afresh, TypeScript included, outside the tests' module system. Throws ERR_MAYFLY_CONFIG_INVALID. */
export async function loadConfig(path: string): Promise<Config> {
  let loaded: unknown
  try {
    loaded = await importModule(path)
  } catch (cause) {
    throw new MayflyError('ERR_MAYFLY_CONFIG_INVALID', `Cannot load ${path}: ${reason(cause, path)}`, { cause })
  }
  const { checkConfig } = await import('./check.js')
  return await checkConfig(loaded, path)
}

/** A module's default export, else its namespace: TypeScript or JavaScript of either module system, loaded by jiti. */
export async function importModule(path: string): Promise<unknown> {
  const { createJiti } = await import('jiti')
  return await createJiti(path, { moduleCache: false, fsCache: false }).import(path, { default: true })
}

function reason(cause: unknown, path: string): string {
  if (!isError(cause)) return String(cause)
  const frame = cause.stack?.split('\n').find(line => line.includes(`${path}:`))
  const line = frame === undefined ? undefined : /:(\d+)(?::\d+)?\)?$/.exec(frame.trim())?.[1]
  return `${line === undefined || cause.message.includes(path) ? '' : `line ${line}: `}${cause.message}`
}

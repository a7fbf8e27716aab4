import type { ImageConfig } from '../images/index.js'
import { MayflyError } from '../errors.js'
import type { SandboxOptions } from './options.js'

const DEFAULT_PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** What is executed: ENTRYPOINT then CMD, a new entrypoint cancelling the image's CMD. Throws ERR_MAYFLY_OPTION_INVALID. */
export function commandLine(config: ImageConfig, options: Pick<SandboxOptions, 'entrypoint' | 'command'>): string[] {
  const entrypoint = options.entrypoint === undefined ? config.Entrypoint : words(options.entrypoint, false)
  const command = options.command === undefined ? (options.entrypoint === undefined ? config.Cmd : [])
    : words(options.command, true)
  const line = [...entrypoint, ...command]
  if (line.length > 0) return line
  throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', 'The image names no command to run', {
    hint: 'Give one: run(image, { command: [\'sleep\', \'60\'] }).',
  })
}

/** The environment: the image's, over it the caller's, with PATH, HOSTNAME and HOME where nobody sets them. */
export function environment(
  config: Pick<ImageConfig, 'Env'>, given: Readonly<Record<string, string | undefined>>, hostname: string, home: string,
): string[] {
  const result = new Map<string, string>()
  const put = (entry: string): void => void result.set(entry.slice(0, entry.indexOf('=')), entry)
  put(DEFAULT_PATH)
  put(`HOSTNAME=${hostname}`)
  for (const entry of config.Env) put(entry)
  for (const [name, value] of Object.entries(given)) {
    if (name === '' || name.includes('=') || name.includes('\0') || value?.includes('\0') === true) {
      throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `Invalid environment variable ${JSON.stringify(name)}`)
    }
    if (value === undefined) result.delete(name)
    else put(`${name}=${value}`)
  }
  if (!result.has('HOME')) put(`HOME=${home}`)
  return [...result.values()]
}

function words(given: readonly string[] | string, shell: boolean): readonly string[] {
  if (typeof given !== 'string') return given
  return shell ? ['/bin/sh', '-c', given] : [given]
}

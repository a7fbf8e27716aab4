import { existsSync, mkdirSync } from 'node:fs'
import { resolve } from 'node:path'

import type { Mount, RunOptions } from '@mayfly/core'

interface MountFlags {
  readonly volume?: readonly string[]
  readonly mount?: readonly string[]
  readonly tmpfs?: readonly string[]
}

/** What `-v`, `--mount` and `--tmpfs` ask for. */
export function mountOptions({ volume = [], mount = [], tmpfs = [] }: MountFlags): Pick<RunOptions, 'mounts' | 'tmpfs'> {
  const long = mount.map(parseMount)
  const mounts = [...volume.map(parseVolume), ...long.flatMap((one) => (typeof one === 'string' ? [] : [one]))]
  const memory = [...tmpfs, ...long.filter((one) => typeof one === 'string')]
  return { ...(mounts.length === 0 ? {} : { mounts }), ...(memory.length === 0 ? {} : { tmpfs: memory }) }
}

/** `[SOURCE:]TARGET[:ro,nocopy]`: with a slash the source is a path, else a volume's name. */
function parseVolume(text: string): Mount {
  const parts = text.split(':')
  const [source, target, mode = ''] = parts.length === 1 ? [undefined, parts[0]] : parts
  const words = mode === '' ? [] : mode.split(',')
  if (source === '' || target?.startsWith('/') !== true || parts.length > 3 || words.some((word) => !['ro', 'rw', 'nocopy', 'z', 'Z'].includes(word))) {
    throw invalid(`Invalid volume ${JSON.stringify(text)}`, 'Give SOURCE:TARGET, SOURCE:TARGET:ro, NAME:TARGET or TARGET; the target is absolute.')
  }
  const readonly = words.includes('ro') ? { readonly: true } : {}
  if (source?.includes('/') === true || source?.startsWith('.') === true) return { source: made(resolve(source)), target, ...readonly }
  return { ...(source === undefined ? {} : { volume: source }), target, ...readonly, ...(words.includes('nocopy') ? { nocopy: true } : {}) }
}

/** As Docker has it, a directory that is not there yet is made; `--mount` refuses it. */
function made(path: string): string {
  if (existsSync(path)) return path
  try {
    mkdirSync(path, { recursive: true })
    return path
  } catch (error) {
    throw invalid(`The volume's source ${path} is not there and cannot be made: ${(error as Error).message}`, 'Make it first, or name one that is there.')
  }
}

/** Docker's long form; a tmpfs as text of `tmpfs`. */
function parseMount(text: string): Mount | string {
  const fields = new Map(text.split(',').map((pair) => {
    const [name = '', value = 'true'] = pair.split(/=(.*)/s)
    return [ALIASES[name] ?? name, value]
  }))
  const unknown = [...fields.keys()].find((name) => !KNOWN.includes(name))
  const [type = 'volume', source, target] = ['type', 'source', 'target'].map((name) => fields.get(name))
  if (unknown !== undefined || target?.startsWith('/') !== true || (type === 'bind' && source === undefined) || !['bind', 'volume', 'tmpfs'].includes(type)) {
    throw invalid(`Invalid mount ${JSON.stringify(text)}${unknown === undefined ? '' : `: ${unknown}`}`, 'Give type=bind, volume or tmpfs, source=…, target=/… and, as one likes, readonly, volume-nocopy, tmpfs-size=…, tmpfs-mode=….')
  }
  const readonly = fields.get('readonly') === 'true' ? { readonly: true } : {}
  if (type === 'tmpfs') {
    const settings = [['size', fields.get('tmpfs-size')], ['mode', fields.get('tmpfs-mode')]].flatMap(([name, value]) => (value === undefined ? [] : [`${name ?? ''}=${value}`]))
    return settings.length === 0 ? target : `${target}:${settings.join(',')}`
  }
  if (type === 'bind') return { source: resolve(source ?? ''), target, ...readonly }
  return { ...(source === undefined ? {} : { volume: source }), target, ...readonly, ...(fields.get('volume-nocopy') === 'true' ? { nocopy: true } : {}) }
}

const ALIASES: Readonly<Record<string, string>> = { src: 'source', dst: 'target', destination: 'target', ro: 'readonly' }
const KNOWN = ['type', 'source', 'target', 'readonly', 'volume-nocopy', 'tmpfs-size', 'tmpfs-mode']

function invalid(message: string, hint: string): Error {
  return Object.assign(new Error(message), { code: 'ERR_MAYFLY_OPTION_INVALID', hint })
}

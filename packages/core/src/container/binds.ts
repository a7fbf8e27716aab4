import { constants } from 'node:fs'
import { access, mkdir, readdir, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'

import { MayflyError } from '../errors.js'
import { contradiction, invalid } from '../sandbox/invalid.js'
import { isTarget } from '../sandbox/mounts.js'
import type { BindMount, ResolvedMount } from '../sandbox/options.js'
import type { RunOptions } from './types.js'
import { keepVolume } from './volumes.js'

/** A container's mounts with their sources, and what is the container's own of them. */
export interface Mounted {
  readonly mounts: readonly ResolvedMount[]
  /** Names of the volumes that outlive it. */
  readonly volumes: readonly string[]
  /** Directories that go with it. */
  readonly own: readonly string[]
  /** Whether a shared one is still empty, and is to be filled with what the image has. */
  readonly fresh: boolean
}

/**
 * The sources of the mounts: volumes by their directories, paths from this process's directory on. What the caller may not
 * read is not shown to a container either. `scratch`: where a directory of the container's own may be made.
 * Throws ERR_MAYFLY_OPTION_INVALID.
 */
export async function resolveMounts({ mounts = [], readonly, tmpfs = [] }: RunOptions, imageVolumes: readonly string[], scratch: string): Promise<Mounted> {
  const volumes: string[] = []
  const own: string[] = []
  let fresh = false
  const private_ = async (): Promise<string> => {
    const directory = `${scratch}.volume${own.length}`
    own.push(directory)
    await mkdir(join(directory, '_data'), { recursive: true, mode: 0o755 })
    return join(directory, '_data')
  }
  const resolved: ResolvedMount[] = []
  for (const one of mounts) {
    if ('source' in one) {
      if ('volume' in one && one.volume !== undefined) throw contradiction('mounts.source', 'mounts.volume', 'a target shows one of them')
      resolved.push({ ...one, source: await readable(one) })
      continue
    }
    const { volume, target, readonly: fixed, nocopy } = one
    if (volume === undefined && fixed === true && nocopy === true) throw contradiction('mounts.readonly', 'mounts.nocopy', 'a volume of its own would stay empty')
    const directory = volume === undefined ? await private_() : typeof volume === 'string' ? (await keepVolume(volume)).directory : volume.directory
    if (volume !== undefined && nocopy !== true) fresh ||= (await readdir(directory).catch(() => [])).length === 0
    if (volume !== undefined) volumes.push(typeof volume === 'string' ? volume : volume.name)
    resolved.push({ source: directory, target, readonly: fixed, seed: nocopy !== true })
  }
  if (readonly === true) {
    // What the image calls a volume is written to, whatever else is not.
    const taken = new Set([...mounts.map(({ target }) => target), ...tmpfs.map((text) => text.split(':')[0])])
    for (const target of imageVolumes) if (isTarget(target) && !taken.has(target)) resolved.push({ source: await private_(), target, seed: true })
  }
  return { mounts: resolved, volumes, own, fresh }
}

async function readable({ source }: BindMount): Promise<string> {
  const path = resolve(source)
  const found = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `mounts: ${cause.code === 'ENOENT' ? `this machine has no ${path}` : `${path} cannot be looked at (${String(cause.code)})`}`, { cause, details: { option: 'mounts', path } })
  })
  await access(path, constants.R_OK | (found.isDirectory() ? constants.X_OK : 0)).catch(() => {
    throw invalid('mounts.source', source, 'this user may not read it', 'Give a file or directory that this process can read.')
  })
  return path
}

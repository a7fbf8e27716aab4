import { lstat, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'

import { removeTree } from '../layers/index.js'

/**
 * Takes out of a stopped container's files what belongs to its life only: sockets, pid and lock files under /run, /tmp and
 * what `also` names (paths without a leading slash; a last part may begin or end with `*`). Directories stay: services
 * that made theirs at the first start do not make them again.
 */
export async function clearTraces(upper: string, also: readonly string[] = []): Promise<void> {
  for (const place of ['run', 'var/run', 'tmp', 'var/lock']) await clear(join(upper, place))
  for (const path of also) {
    const slash = path.lastIndexOf('/')
    const [directory, name] = [join(upper, path.slice(0, Math.max(0, slash))), path.slice(slash + 1)]
    for (const found of await names(directory)) if (fits(found, name)) await remove(join(directory, found))
  }
}

async function clear(directory: string): Promise<void> {
  for (const name of await names(directory)) {
    const path = join(directory, name)
    const stat = await lstat(path)
    if (stat.isDirectory()) await clear(path)
    // A character device is a mark that the file below is deleted: it stays so.
    else if (!stat.isCharacterDevice()) await remove(path)
  }
}

async function names(directory: string): Promise<readonly string[]> {
  const stat = await lstat(directory).catch(() => undefined)
  // Through a link of the container's own it would be another place.
  return stat?.isDirectory() === true ? await readdir(directory).catch(() => []) : []
}

async function remove(path: string): Promise<void> {
  await rm(path, { force: true }).catch(async (error: unknown) => {
    if (!['EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
    await removeTree(path)
  })
}

function fits(name: string, pattern: string): boolean {
  if (pattern.startsWith('*')) return name.endsWith(pattern.slice(1))
  return pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern
}

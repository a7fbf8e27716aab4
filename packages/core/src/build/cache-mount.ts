import { createHash } from 'node:crypto'
import { access, chmod, chown, mkdir, rename } from 'node:fs/promises'
import { join } from 'node:path'

import { isMayflyError } from '../errors.js'
import { lockFile, type FileLock } from '../layers/index.js'
import type { Build } from './builder.js'
import type { LayerEntry } from './copy.js'
import { hashEntries, placeEntries } from './pack.js'

/** Whether several RUNs use a cache at once, each one of its own, or one after the other. */
export type Sharing = 'shared' | 'private' | 'locked'

export interface CacheMount {
  readonly id: string
  readonly sharing: Sharing
  readonly rights: { readonly mode: number; readonly uid: number; readonly gid: number }
  /** What it begins with. */
  readonly filling: readonly LayerEntry[]
}

/** Milliseconds within which a lock that nobody holds is had. One too few costs a fill, nothing else. */
const FREE = 500

/** A directory that stays from build to build. What is in it was written by containers: nothing here follows its links (CVE-2024-23651). */
export async function openCacheMount(build: Build, mount: CacheMount): Promise<{ readonly directory: string; readonly lock: FileLock | undefined }> {
  const caches = join(build.store.home, 'build', 'caches')
  await mkdir(caches, { recursive: true, mode: 0o700 })
  const hash = createHash('sha256').update(mount.id)
  if (mount.filling.length > 0) await hashEntries(hash, mount.filling, build.files)
  const name = hash.digest('hex').slice(0, 32)
  const lockPath = (of: string): string => join(build.store.home, 'locks', `cache-${of}`)
  if (mount.sharing === 'shared') return { directory: await ready(build, join(caches, name), mount), lock: undefined }
  if (mount.sharing === 'locked') {
    const lock = await lockFile(lockPath(name), build.signal)
    return { directory: await ready(build, join(caches, name), mount), lock }
  }
  for (let nth = 0; ; nth += 1) {
    const own = nth === 0 ? name : `${name}-${String(nth)}`
    const lock = await lockFile(lockPath(own), AbortSignal.any([build.signal, AbortSignal.timeout(FREE)])).catch((error: unknown) => {
      if (isMayflyError(error) && error.code === 'ERR_MAYFLY_ABORTED' && !build.signal.aborted) return undefined
      throw error
    })
    if (lock !== undefined) return { directory: await ready(build, join(caches, own), mount), lock }
  }
}

/** The directory, made whole before anybody sees it. */
async function ready(build: Build, directory: string, { rights, filling }: CacheMount): Promise<string> {
  if (await access(directory).then(() => true, () => false)) return directory
  const fresh = build.place()
  await placeEntries(filling, fresh)
  await chmod(fresh, rights.mode)
  if (process.geteuid?.() === 0) await chown(fresh, rights.uid, rights.gid)
  // Another build may have been faster.
  await rename(fresh, directory).catch((error: NodeJS.ErrnoException) => {
    if (!['ENOTEMPTY', 'EEXIST'].includes(error.code ?? '')) throw error
  })
  return directory
}

import { chmod, link, lstat, lchown, lutimes, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'

import { MayflyError } from '../errors.js'
import { findInStack } from './stack.js'
import type { UntarReport } from './native.js'

/** Whether a layer means the same whatever lies below it. */
export function isSelfContained({ implicit, linksBelow }: UntarReport): boolean {
  return implicit.length === 0 && linksBelow.length === 0
}

/**
 * Completes a freshly unpacked layer with what its lower layers (top first) decide: implicit directories take mode,
 * owner and times from below, hard links into lower layers are made. Throws ERR_MAYFLY_LAYER_INVALID.
 */
export async function settle(directory: string, report: UntarReport, lowers: readonly string[]): Promise<void> {
  for (const { path, target } of report.linksBelow) await linkBelow(directory, path, target, lowers)
  for (const path of [...report.implicit].sort().reverse()) {
    const own = await findInStack([directory], path)
    const below = await findInStack(lowers, path)
    if (own?.stat.isDirectory() !== true || below?.stat.isDirectory() !== true) continue
    await lchown(own.file, below.stat.uid, below.stat.gid)
    await chmod(own.file, below.stat.mode & 0o7777)
    await lutimes(own.file, below.stat.atime, below.stat.mtime)
  }
}

async function linkBelow(directory: string, path: string, target: string, lowers: readonly string[]): Promise<void> {
  const found = await findInStack(lowers, target)
  const parent = await findInStack([directory], dirname(path))
  if (found === undefined || found.stat.isDirectory() || parent?.stat.isDirectory() !== true) {
    throw new MayflyError('ERR_MAYFLY_LAYER_INVALID', `A layer links ${JSON.stringify(path)} to a file that is not there: ${JSON.stringify(target)}`)
  }
  const file = join(parent.file, path.slice(path.lastIndexOf('/') + 1))
  const there = await lstat(file).catch(() => undefined)
  if (there !== undefined) await rm(file)
  await link(found.file, file)
}

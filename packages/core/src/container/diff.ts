import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'

import { MayflyError } from '../errors.js'
import { treeSize } from '../images/du.js'
import { defaultHome } from '../images/store.js'
import { STUBS, layerTar, removeTree, resolveInStack } from '../layers/index.js'
import { METHOD } from '../native/index.js'
import { Writer } from '../native/bytes.js'
import { keptDirectory } from './kept.js'
import { isUp, reach, type RunningListing } from './runs.js'

/** What became of a path of a container's image. */
export interface PathChange {
  readonly kind: 'added' | 'changed' | 'deleted'
  /** Absolute. */
  readonly path: string
}

/** What a container changed of its image's files, sorted by path. Throws ERR_MAYFLY_UNSUPPORTED when its files are a copy of the image's. */
export async function containerDiff(container: RunningListing): Promise<PathChange[]> {
  const { directory, done } = await changesDirectory(container)
  try {
    return await changesIn(directory, container)
  } finally {
    await done()
  }
}

/** Bytes of its changes on the disk; nothing where they are in memory. */
export async function changesSize(container: RunningListing): Promise<number | undefined> {
  const directory = onDisk(container)
  return directory === undefined ? undefined : treeSize(directory)
}

async function changesIn(directory: string, { stack }: RunningListing): Promise<PathChange[]> {
  const { extract } = await import('tar-stream')
  const { tar, done } = layerTar({ directory, lowers: stack.map((layer) => layer.directory), skip: STUBS })
  const changes = new Map<string, PathChange['kind']>()
  for await (const entry of tar.pipe(extract())) {
    const path = `/${entry.header.name.replace(/^\.?\/|\/$/g, '')}`
    entry.resume()
    const name = basename(path)
    if (path === '/' || name === '.wh..wh..opq') continue
    if (name.startsWith('.wh.')) changes.set(join(dirname(path), name.slice(4)), 'deleted')
    else changes.set(path, (await resolveInStack(stack, path, false))?.stat === undefined ? 'added' : 'changed')
  }
  await done
  // As Docker has it, a directory with a change in it is changed itself.
  for (const path of [...changes.keys()]) {
    for (let above = dirname(path); above !== '/'; above = dirname(above)) if (!changes.has(above)) changes.set(above, 'changed')
  }
  return [...changes].map(([path, kind]) => ({ path, kind })).sort((a, b) => (a.path < b.path ? -1 : 1))
}

/** A directory of its changes, in the form of the kernel's overlay, and what to do when it is not needed any more. */
export async function changesDirectory(container: RunningListing): Promise<{ readonly directory: string, readonly done: () => Promise<void> }> {
  const own = onDisk(container)
  if (own !== undefined) return { directory: own, done: () => Promise.resolve() }
  if (container.kept?.driver === 'copy' || !isUp(container)) {
    throw new MayflyError('ERR_MAYFLY_UNSUPPORTED', `What ${container.name} changed is not known${container.kept?.driver === 'copy' ? ": its files are a copy of the image's" : ''}`)
  }
  const directory = join(defaultHome(), 'runs', container.runId, 'scratch', `${container.id}-${randomBytes(4).toString('hex')}`)
  const connection = await reach(container)
  try {
    await connection.request(METHOD.scratchSave, new Writer().str(container.id).str(directory).str('').take())
  } finally {
    connection.close()
  }
  return { directory, done: () => removeTree(directory) }
}

function onDisk({ id, kept, runId }: RunningListing): string | undefined {
  const directory = join(kept === undefined ? join(defaultHome(), 'runs', runId, 'scratch', id) : keptDirectory(id), 'upper')
  return existsSync(directory) ? directory : undefined
}

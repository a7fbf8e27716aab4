import { constants, type Stats } from 'node:fs'
import { lstat, open, readlink } from 'node:fs/promises'
import { join } from 'node:path'

/** An unpacked layer as it is looked into from here; the kernel's marks of opaque directories cannot be read. */
export interface StackLayer {
  readonly directory: string
  /** Directories that hide what lower layers have under their names; '' is the root. */
  readonly opaque: readonly string[]
}

interface Found {
  /** Where the entry lies on the host. */
  readonly file: string
  readonly stat: Stats
}

/** The content of a regular file of at most `limit` bytes as a container would read it; links stay inside the stack. */
export async function readFromStack(layers: readonly StackLayer[], path: string, limit: number): Promise<Buffer | undefined> {
  let left = path.split('/')
  let resolved: string[] = []
  for (let links = 0; left.length > 0;) {
    const [name = '', ...rest] = left
    left = rest
    if (name === '..') resolved = resolved.slice(0, -1)
    if (name === '' || name === '.' || name === '..') continue
    const found = await findInStack(layers, [...resolved, name].join('/'))
    if (found === undefined) return undefined
    if (found.stat.isSymbolicLink()) {
      links += 1
      if (links > 40) return undefined
      const target = await readlink(found.file)
      if (target.startsWith('/')) resolved = []
      left = [...target.split('/'), ...left]
      continue
    }
    resolved = [...resolved, name]
    if (left.every((part) => part === '' || part === '.')) return readRegular(found, limit)
  }
  return undefined
}

/**
 * The entry that a container would see at `path`, looked up in layers given top first. Symbolic links are not
 * followed, neither on the way nor at the end: a path through one is not found.
 */
async function findInStack(layers: readonly StackLayer[], path: string): Promise<Found | undefined> {
  const names = path.split('/').filter((name) => name !== '' && name !== '.')
  if (names.includes('..') || path.includes('\0')) return undefined
  for (const layer of layers) {
    const found = await walk(layer, names)
    if (found === 'hidden') return undefined
    if (found !== undefined) return found
  }
  return undefined
}

async function walk({ directory, opaque }: StackLayer, names: readonly string[]): Promise<Found | 'hidden' | undefined> {
  let file = directory
  let stat = await lstat(file)
  let covered = opaque.includes('')
  for (const [index, name] of names.entries()) {
    if (!stat.isDirectory()) return 'hidden'
    file = join(file, name)
    const next = await lstat(file).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ENAMETOOLONG') return undefined
      throw error
    })
    if (next === undefined) return covered ? 'hidden' : undefined
    if (next.isCharacterDevice() && next.rdev === 0) return 'hidden'
    stat = next
    covered ||= opaque.includes(names.slice(0, index + 1).join('/'))
  }
  return { file, stat }
}

async function readRegular({ file, stat }: Found, limit: number): Promise<Buffer | undefined> {
  if (!stat.isFile() || stat.size > limit) return undefined
  const handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  try {
    return (await handle.stat()).isFile() ? await handle.readFile() : undefined
  } finally {
    await handle.close()
  }
}

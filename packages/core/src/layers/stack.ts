import { constants, lstatSync, readdirSync, type Stats } from 'node:fs'
import { open, readdir, readlink } from 'node:fs/promises'
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

/** An entry of the stack, links on the way to it followed. */
export interface StackEntry {
  /** Where it is in the stack, without a link on the way; relative, '' for the root. */
  readonly path: string
  /** Where it lies on the host; absent when there is none. */
  readonly file: string | undefined
  readonly stat: Stats | undefined
}

/**
 * Follows links as a container would, inside the stack; the last part's own only with `follow`. What is missing is told as
 * it would be made. `undefined` when the way leads through a file, or links go round in circles.
 */
export async function resolveInStack(layers: readonly StackLayer[], path: string, follow = true): Promise<StackEntry | undefined> {
  let left = path.split('/')
  let resolved: string[] = []
  let entry: StackEntry = { path: '', file: layers[0]?.directory, stat: undefined }
  for (let links = 0; left.length > 0;) {
    const [name = '', ...rest] = left
    left = rest
    if (name === '' || name === '.') continue
    if (name === '..') {
      resolved = resolved.slice(0, -1)
      continue
    }
    const there = [...resolved, name].join('/')
    const found = findInStack(layers, there)
    const last = rest.every(part => part === '' || part === '.')
    if (found?.stat.isSymbolicLink() === true && (!last || follow)) {
      links += 1
      if (links > 40) return undefined
      const target = await readlink(found.file)
      if (target.startsWith('/')) resolved = []
      left = [...target.split('/'), ...rest]
      continue
    }
    if (found !== undefined && !last && !found.stat.isDirectory()) return undefined
    resolved = [...resolved, name]
    entry = { path: there, file: found?.file, stat: found?.stat }
  }
  const whole = resolved.join('/')
  // After `..` the entry is another than the last that was looked at.
  if (entry.path === whole && whole !== '') return entry
  const found = findInStack(layers, whole)
  return { path: whole, file: found?.file, stat: found?.stat }
}

/** Names in a directory of the stack, no link on its way, sorted. */
export async function namesInStack(layers: readonly StackLayer[], path: string): Promise<readonly string[]> {
  const names = new Map<string, boolean>()
  for (const directory of directoriesAt(layers, path)) {
    for (const entry of await readdir(directory, { withFileTypes: true })) {
      if (names.has(entry.name)) continue
      names.set(entry.name, !entry.isCharacterDevice() || lstatSync(join(directory, entry.name)).rdev !== 0)
    }
  }
  return [...names].filter(([, there]) => there).map(([name]) => name).sort()
}

/**
 * What lies in a directory of the stack, no link on its way: where each name is on the host, sorted by name. Each is looked at when it
 * is asked for, so that somebody else gets a turn between them.
 */
export function* entriesInStack(layers: readonly StackLayer[], path: string): Generator<Found & { readonly name: string }> {
  const files = new Map<string, string>()
  for (const directory of directoriesAt(layers, path)) {
    for (const name of readdirSync(directory)) if (!files.has(name)) files.set(name, join(directory, name))
  }
  for (const name of [...files.keys()].sort()) {
    const file = files.get(name) ?? ''
    const stat = look(file)
    if (stat !== undefined && !isWhiteout(stat)) yield { name, file, stat }
  }
}

/** The directories that are seen as one at a path, top first. */
function* directoriesAt(layers: readonly StackLayer[], path: string): Generator<string> {
  const names = path.split('/').filter(name => name !== '')
  for (const layer of layers) {
    const found = walk(layer, names)
    if (found === undefined) continue
    if (found === 'hidden' || !found.stat.isDirectory()) return
    yield found.file
    if (coversBelow(layer, path)) return
  }
}

function isWhiteout(stat: Stats): boolean {
  return stat.isCharacterDevice() && stat.rdev === 0
}

function coversBelow({ opaque }: StackLayer, path: string): boolean {
  const names = path.split('/').filter(name => name !== '')
  return names.some((_, at) => opaque.includes(names.slice(0, at + 1).join('/'))) || opaque.includes('')
}

/** The content of a regular file of at most `limit` bytes as a container would read it; links stay inside the stack. */
export async function readFromStack(layers: readonly StackLayer[], path: string, limit: number): Promise<Buffer | undefined> {
  const entry = await resolveInStack(layers, path)
  if (entry?.file === undefined || entry.stat === undefined) return undefined
  return readRegular({ file: entry.file, stat: entry.stat }, limit)
}

/**
 * The entry that a container would see at `path`, looked up in layers given top first. Symbolic links are not
 * followed, neither on the way nor at the end: a path through one is not found.
 */
function findInStack(layers: readonly StackLayer[], path: string): Found | undefined {
  const names = path.split('/').filter((name) => name !== '' && name !== '.')
  if (names.includes('..') || path.includes('\0')) return undefined
  for (const layer of layers) {
    const found = walk(layer, names)
    if (found === 'hidden') return undefined
    if (found !== undefined) return found
  }
  return undefined
}

/** Synchronously, which is ten times faster: there are as many of these as parts of names, for every file that a COPY takes. */
function walk({ directory, opaque }: StackLayer, names: readonly string[]): Found | 'hidden' | undefined {
  let file = directory
  let stat = lstatSync(file)
  let covered = opaque.includes('')
  for (const [index, name] of names.entries()) {
    if (!stat.isDirectory()) return 'hidden'
    file = join(file, name)
    const next = look(file)
    if (next === undefined) return covered ? 'hidden' : undefined
    if (isWhiteout(next)) return 'hidden'
    stat = next
    covered ||= opaque.includes(names.slice(0, index + 1).join('/'))
  }
  return { file, stat }
}

function look(file: string): Stats | undefined {
  try {
    return lstatSync(file, { throwIfNoEntry: false })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENAMETOOLONG') return undefined
    throw error
  }
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

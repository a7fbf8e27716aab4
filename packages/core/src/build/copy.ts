import { posix } from 'node:path'

import { globPattern } from '../glob.js'
import type { SourceTree, TreeEntry } from './tree.js'

/** One entry of a layer that COPY makes. */
export interface LayerEntry {
  /** Relative to the image's root. */
  readonly path: string
  readonly type: 'file' | 'directory' | 'symlink' | 'link'
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Milliseconds since 1970. */
  readonly mtime: number
  readonly size: number
  readonly target: string | undefined
  /** Where its content is: a file of the host, or these bytes. */
  readonly content: { readonly file: string } | { readonly bytes: Buffer } | undefined
}

export interface CopyWish {
  readonly sources: readonly string[]
  /** Absolute, links on the way followed; with a slash at the end it is a directory. */
  readonly destination: string
  /** Whether the destination is a directory that is there already. */
  readonly intoDirectory: boolean
  readonly exclude: readonly string[]
  readonly parents: boolean
  /** Owner for everything; default root, or with `keepOwner` the source's. */
  readonly owner: { readonly uid: number; readonly gid: number } | undefined
  readonly keepOwner: boolean
  /** Octal, or symbolic as chmod's. */
  readonly chmod: ((mode: number, directory: boolean) => number) | undefined
}

/** A source that matches nothing. */
export class NothingFound extends Error {}

/** What a COPY puts where, in the order of its paths. [Dockerfile reference, "COPY"] */
export async function planCopy(tree: SourceTree, wish: CopyWish): Promise<readonly LayerEntry[]> {
  const found = (await Promise.all(wish.sources.map(source => sourcesOf(tree, source)))).flat()
  const directory = wish.destination.endsWith('/') || wish.intoDirectory || found.length > 1
  const target = wish.destination.replace(/^\/+|\/+$/g, '')
  const plan: Plan = { entries: new Map(), inodes: new Map() }
  for (const { entry, name } of found) {
    if (entry.stat.isDirectory()) {
      const to = wish.parents ? posix.join(target, name) : target
      await addTree(tree, entry, to, wish, plan, '')
    } else {
      const to = wish.parents ? posix.join(target, name) : directory ? posix.join(target, posix.basename(name)) : target
      if (!isExcluded(wish, name)) add(plan, to, entry, wish)
    }
  }
  return linked([...plan.entries.values()].sort((a, b) => (a.path < b.path ? -1 : 1)), plan.inodes)
}

interface Plan {
  readonly entries: Map<string, LayerEntry>
  /** The file behind a path, of those that have several names. */
  readonly inodes: Map<string, string>
}

/** Names of one file stay names of one file. */
function linked(entries: readonly LayerEntry[], inodes: ReadonlyMap<string, string>): readonly LayerEntry[] {
  if (inodes.size === 0) return entries
  const first = new Map<string, string>()
  return entries.map(entry => {
    const inode = inodes.get(entry.path)
    const target = inode === undefined ? undefined : first.get(inode)
    if (inode === undefined || entry.type !== 'file') return entry
    if (target !== undefined) return { ...entry, type: 'link', target, size: 0, content: undefined }
    first.set(inode, entry.path)
    return entry
  })
}

interface Source {
  readonly entry: TreeEntry
  /** What --parents keeps of its path, relative: all of it, or what stands behind `/./`. */
  readonly name: string
}

async function sourcesOf(tree: SourceTree, source: string): Promise<readonly Source[]> {
  const pivot = source.indexOf('/./')
  const before = pivot < 0 ? '' : clean(source.slice(0, pivot))
  const name = clean(source)
  const kept = (path: string): string => (before === '' ? path : path.split('/').slice(before.split('/').length).join('/'))
  if (!/[*?[\\]/.test(name)) {
    const entry = await tree.find(name, true)
    if (entry === undefined) throw new NothingFound(source)
    return [{ entry, name: kept(name) }]
  }
  const matches = await glob(tree, name.split('/'), '')
  if (matches.length === 0) throw new NothingFound(source)
  return matches.map(({ shown, ...entry }) => ({ entry, name: kept(shown) }))
}

/** Relative to the tree's root, and never above it. */
function clean(path: string): string {
  return posix.normalize(`/${path}`).replace(/^\/|\/$/g, '')
}

/**
 * As Go's filepath.Match, to which a name that begins with a dot is like any other; `**` stands for directories, or none.
 * `below` is how the pattern came here, `real` the same without links.
 */
async function glob(tree: SourceTree, [part = '', ...rest]: readonly string[], below: string, real = below): Promise<readonly (TreeEntry & { readonly shown: string })[]> {
  const pattern = globPattern(part)
  const deep = part === '**'
  const found = deep && rest.length > 0 ? [await glob(tree, rest, below, real)] : []
  for (const name of await tree.names(real)) {
    if (!pattern.test(name)) continue
    const path = inside(below, name)
    // Through a link a `**` could go round in circles.
    const entry = await tree.find(inside(real, name), !deep)
    if (entry === undefined) continue
    const isDirectory = entry.stat.isDirectory()
    if (deep && rest.length > 0) found.push(isDirectory ? await glob(tree, [part, ...rest], path, entry.path) : [])
    else if (rest.length === 0) found.push([{ ...entry, shown: path }])
    else if (isDirectory) found.push(await glob(tree, rest, path, entry.path))
  }
  return found.flat()
}

function inside(directory: string, name: string): string {
  return directory === '' ? name : `${directory}/${name}`
}

async function addTree(tree: SourceTree, entry: TreeEntry, to: string, wish: CopyWish, plan: Plan, relative: string): Promise<void> {
  // The destination itself keeps what it is, where it is there.
  if (relative !== '' || !wish.intoDirectory) add(plan, to, entry, wish)
  for await (const child of tree.children(entry)) {
    const name = posix.basename(child.path)
    const within = inside(relative, name)
    if (isExcluded(wish, within)) continue
    const path = posix.join(to, name)
    if (child.stat.isDirectory()) await addTree(tree, child, path, wish, plan, within)
    else add(plan, path, child, wish)
  }
}

function isExcluded({ exclude }: CopyWish, path: string): boolean {
  if (exclude.length === 0) return false
  const above = path.split('/').map((_, at, parts) => parts.slice(0, at + 1).join('/'))
  return exclude.some(pattern => above.some(one => globPattern(pattern.replace(/^\/|\/$/g, '')).test(one)))
}

function add({ entries, inodes }: Plan, path: string, { file, stat, target }: TreeEntry, { owner, keepOwner, chmod }: CopyWish): void {
  // Sockets, pipes and devices are nothing to copy.
  const type = stat.isFile() ? 'file' : stat.isDirectory() ? 'directory' : stat.isSymbolicLink() ? 'symlink' : undefined
  if (type === undefined || path === '' || path === '.') return
  const { uid, gid } = owner ?? (keepOwner ? stat : { uid: 0, gid: 0 })
  const mode = stat.mode & 0o7777
  if (type === 'file' && stat.nlink > 1) inodes.set(path, `${String(stat.dev)}:${String(stat.ino)}`)
  else inodes.delete(path)
  entries.set(path, {
    path, type, uid, gid, target, mtime: stat.mtimeMs, size: type === 'file' ? stat.size : 0,
    mode: chmod === undefined || type === 'symlink' ? mode : chmod(mode, type === 'directory'),
    content: type === 'file' ? { file } : undefined,
  })
}

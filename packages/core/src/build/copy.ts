import { posix } from 'node:path'

import { globPattern } from '../glob.js'
import type { SourceTree, TreeEntry } from './tree.js'

/** One entry of a layer that COPY makes. */
export interface LayerEntry {
  /** Relative to the image's root. */
  readonly path: string
  readonly type: 'file' | 'directory' | 'symlink'
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
  const several = found.length > 1
  const directory = wish.destination.endsWith('/') || wish.intoDirectory || several
  const target = wish.destination.replace(/^\/+|\/+$/g, '')
  const entries = new Map<string, LayerEntry>()
  for (const { entry, name, base } of found) {
    if (entry.stat.isDirectory()) {
      const to = wish.parents ? posix.join(target, base, name) : target
      await addTree(tree, entry, to, wish, entries, '')
    } else {
      const to = wish.parents ? posix.join(target, base, name) : directory ? posix.join(target, posix.basename(name)) : target
      if (!isExcluded(wish, name)) add(entries, to, entry, wish)
    }
  }
  return [...entries.values()].sort((a, b) => (a.path < b.path ? -1 : 1))
}

interface Source {
  readonly entry: TreeEntry
  /** As the instruction names it, relative. */
  readonly name: string
  /** With --parents: what stands before it. `/./` marks where the kept part begins. */
  readonly base: string
}

async function sourcesOf(tree: SourceTree, source: string): Promise<readonly Source[]> {
  const pivot = source.indexOf('/./')
  const name = posix.normalize(pivot < 0 ? source : source.replace('/./', '/')).replace(/^(\.{0,2}\/)+|\/$/g, '').replace(/^\.$|^\.\.$/, '')
  const kept = pivot < 0 ? name : posix.normalize(source.slice(pivot + 3))
  if (!/[*?[\\]/.test(name)) {
    const entry = await tree.find(name, true)
    if (entry === undefined) throw new NothingFound(source)
    return [{ entry, name: kept, base: '' }]
  }
  const matches = await glob(tree, name.split('/'), '')
  if (matches.length === 0) throw new NothingFound(source)
  return matches.map(entry => ({ entry, name: entry.path, base: '' }))
}

async function glob(tree: SourceTree, [part = '', ...rest]: readonly string[], below: string): Promise<readonly TreeEntry[]> {
  const pattern = globPattern(part)
  const names = (await tree.names(below)).filter(name => pattern.test(name) && (part.startsWith('.') || !name.startsWith('.') || part === name))
  const found = await Promise.all(names.map(async name => {
    const path = below === '' ? name : `${below}/${name}`
    const entry = await tree.find(path, true)
    if (entry === undefined) return []
    if (rest.length === 0) return [{ ...entry, path }]
    return entry.stat.isDirectory() ? await glob(tree, rest, path) : []
  }))
  return found.flat()
}

async function addTree(
  tree: SourceTree, entry: TreeEntry, to: string, wish: CopyWish, entries: Map<string, LayerEntry>, relative: string,
): Promise<void> {
  // The destination itself keeps what it is, where it is there.
  if (relative !== '' || !wish.intoDirectory) add(entries, to, entry, wish)
  for (const name of await tree.names(entry.path)) {
    const inside = relative === '' ? name : `${relative}/${name}`
    if (isExcluded(wish, inside)) continue
    const child = await tree.find(entry.path === '' ? name : `${entry.path}/${name}`, false)
    if (child === undefined) continue
    const path = posix.join(to, name)
    if (child.stat.isDirectory()) await addTree(tree, child, path, wish, entries, inside)
    else add(entries, path, child, wish)
  }
}

function isExcluded({ exclude }: CopyWish, path: string): boolean {
  const above = path.split('/').map((_, at, parts) => parts.slice(0, at + 1).join('/'))
  return exclude.some(pattern => above.some(one => globPattern(pattern.replace(/^\/|\/$/g, '')).test(one)))
}

function add(entries: Map<string, LayerEntry>, path: string, { file, stat, target }: TreeEntry, { owner, keepOwner, chmod }: CopyWish): void {
  // Sockets, pipes and devices are nothing to copy.
  const type = stat.isFile() ? 'file' : stat.isDirectory() ? 'directory' : stat.isSymbolicLink() ? 'symlink' : undefined
  if (type === undefined || path === '' || path === '.') return
  const { uid, gid } = owner ?? (keepOwner ? stat : { uid: 0, gid: 0 })
  const mode = stat.mode & 0o7777
  entries.set(path, {
    path, type, uid, gid, target, mtime: stat.mtimeMs, size: type === 'file' ? stat.size : 0,
    mode: chmod === undefined || type === 'symlink' ? mode : chmod(mode, type === 'directory'),
    content: type === 'file' ? { file } : undefined,
  })
}

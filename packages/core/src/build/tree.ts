import { lstatSync, type Stats } from 'node:fs'
import { lstat, readdir, readlink } from 'node:fs/promises'
import { join } from 'node:path'

import { entriesInStack, namesInStack, resolveInStack, type StackLayer } from '../layers/index.js'
import type { Ignore } from './ignore.js'

/** Files that COPY takes from: the build context, or another stage. Paths are relative, '' is the root. */
export interface SourceTree {
  /** What lies at a path, links on the way followed inside the tree; the last one only with `follow`. */
  find(path: string, follow: boolean): Promise<TreeEntry | undefined>
  /** Names in a directory, sorted. */
  names(path: string): Promise<readonly string[]>
  /** What lies in a directory that was found, sorted by name, no link followed. */
  children(directory: TreeEntry): AsyncIterable<TreeEntry>
}

export interface TreeEntry {
  readonly path: string
  /** Where its content lies on the host. */
  readonly file: string
  readonly stat: Stats
  /** Of a symbolic link. */
  readonly target: string | undefined
}

/** Entries looked at before others get a turn: looking synchronously is ten times faster. */
const TURN = 256

/** A stage's or an image's files. */
export function stackTree(layers: readonly StackLayer[]): SourceTree {
  const find: SourceTree['find'] = async (path, follow) => {
    const found = await resolveInStack(layers, path, follow)
    if (found?.file === undefined || found.stat === undefined) return undefined
    return { path: found.path, file: found.file, stat: found.stat, target: found.stat.isSymbolicLink() ? await readlink(found.file) : undefined }
  }
  return {
    find,
    names: path => namesInStack(layers, path),
    children: async function* ({ path }) {
      let seen = 0
      for (const { name, file, stat } of entriesInStack(layers, path)) {
        if ((seen += 1) % TURN === 0) await new Promise(resolve => { setImmediate(resolve) })
        yield { path: path === '' ? name : `${path}/${name}`, file, stat, target: stat.isSymbolicLink() ? await readlink(file) : undefined }
      }
    },
  }
}

/** A directory of the host, less what `.dockerignore` leaves out. Links cannot lead out of it. */
export function directoryTree(root: string, ignore: Ignore): SourceTree {
  const look = async (path: string): Promise<Stats | undefined> =>
    await lstat(join(root, path)).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined
      throw error
    })
  const find = async (path: string, follow: boolean): Promise<TreeEntry | undefined> => {
    let left = path.split('/')
    let resolved: string[] = []
    for (let links = 0; left.length > 0;) {
      const [name = '', ...rest] = left
      left = rest
      if (name === '' || name === '.') continue
      if (name === '..') {
        resolved = resolved.slice(0, -1)
        continue
      }
      const there = [...resolved, name].join('/')
      const last = rest.every(part => part === '' || part === '.')
      const stat = await look(there)
      if (stat === undefined) return undefined
      if (stat.isSymbolicLink() && (!last || follow)) {
        links += 1
        if (links > 40) return undefined
        const target = await readlink(join(root, there))
        if (target.startsWith('/')) resolved = []
        left = [...target.split('/'), ...rest]
        continue
      }
      resolved = [...resolved, name]
    }
    const whole = resolved.join('/')
    const stat = await look(whole)
    if (stat === undefined || isHidden(whole, stat)) return undefined
    return { path: whole, file: join(root, whole), stat, target: stat.isSymbolicLink() ? await readlink(join(root, whole)) : undefined }
  }
  const isHidden = (path: string, stat: Stats): boolean =>
    path !== '' && ignore.excludes(path) && !(stat.isDirectory() && ignore.mayInclude(path))
  return {
    find,
    names: async path => (await readdir(join(root, path))).sort(),
    children: async function* ({ path }) {
      const names = (await readdir(join(root, path))).sort()
      for (const [nth, name] of names.entries()) {
        if (nth % TURN === TURN - 1) await new Promise(resolve => { setImmediate(resolve) })
        const child = path === '' ? name : `${path}/${name}`
        const file = join(root, child)
        const stat = lstatSync(file, { throwIfNoEntry: false })
        if (stat === undefined || isHidden(child, stat)) continue
        yield { path: child, file, stat, target: stat.isSymbolicLink() ? await readlink(file) : undefined }
      }
    },
  }
}

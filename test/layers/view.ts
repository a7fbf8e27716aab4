import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, renameSync, rmdirSync, rmSync, type Stats, lstatSync } from 'node:fs'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { extract } from 'tar-stream'

import { parentsOf, tarOf, type Layer } from './stack.js'

/** A file system as GNU tar sees it, sorted by name: type, mode, owner, time, content, links, attributes. */
export type View = readonly string[]

const LIST = ['--sort=name', '--format=posix', '--pax-option=delete=atime,delete=ctime', '--xattrs', '--xattrs-include=*', '--numeric-owner', '-cf', '-']

/** What a container would see: the kernel's overlay over a chain, top first, mounted where nobody else sees it. */
export async function overlayView(layers: readonly string[], scratch: string): Promise<View> {
  const [at, empty] = [join(scratch, 'view'), join(scratch, 'empty')]
  for (const directory of [at, empty]) mkdirSync(directory, { recursive: true })
  const root = process.geteuid?.() === 0
  const options = ['ro', `lowerdir=${[...layers, empty].join(':')}`, ...(root ? [] : ['userxattr'])].join(',')
  const words = ['--mount', ...(root ? [] : ['--user', '--map-root-user', '--map-auto']), 'sh', '-c', 'mount -t overlay overlay -o "$0" "$1" && cd "$1" && shift && exec tar "$@" .', options, at, ...LIST]
  return await listed('unshare', words, scratch)
}

export async function directoryView(directory: string): Promise<View> {
  return await listed('tar', [...LIST, '.'], directory)
}

async function listed(program: string, words: readonly string[], cwd: string): Promise<View> {
  const child = spawn(program, words, { cwd, stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = once(child, 'close')
  const trouble = buffer(child.stderr)
  const lines: string[] = []
  for await (const entry of child.stdout.pipe(extract())) {
    const { name, type, mode = 0, uid, gid, mtime, linkname, pax } = entry.header
    const content = (await buffer(entry)).toString()
    const attributes = Object.entries(pax ?? {}).filter(([key]) => key.startsWith('SCHILY.xattr.')).map(([key, value]) => `${key.slice(13)}=${value}`).sort()
    // A link's mode is nobody's.
    const modes = type === 'symlink' ? '' : (mode & 0o7777).toString(8)
    // A container's root directory is its own, as Docker's is.
    if (name !== './') lines.push([name, type, modes, `${uid}:${gid}`, type === 'link' ? '' : (mtime?.getTime() ?? 0) / 1000, linkname ?? '', ...attributes, content].join(' '))
  }
  const [code] = await ended as [number]
  if (code !== 0) throw new Error((await trouble).toString())
  return lines
}

/**
 * What the specification says, word by word: layer after layer into one directory, deletions of what lies below first, then
 * GNU tar. Directories that a layer only passes through keep their times.
 */
export function extractNaively(stack: readonly Layer[], root: string, scratch: string): void {
  for (const layer of stack) {
    const { nodes } = layer
    const times = new Map<string, Stats>()
    const whole = (path: string): string => join(root, path)
    const listed = new Set(nodes.flatMap(({ kind, path }) => (kind === 'whiteout' || kind === 'opaque' ? [] : [path])))
    for (const { path } of nodes) {
      for (const above of ['.', ...parentsOf(path), path]) {
        const stat = found(whole(above))
        if (stat?.isDirectory() === true && !listed.has(above)) times.set(above, stat)
      }
    }
    for (const { kind, path } of nodes) {
      if (kind === 'whiteout') rmSync(whole(path), { recursive: true })
      if (kind === 'opaque') for (const name of readdirSync(whole(path))) rmSync(join(whole(path), name), { recursive: true })
    }
    for (const { kind, path } of nodes) {
      const there = found(whole(path))
      if (kind === 'whiteout' || kind === 'opaque' || there === undefined) continue
      if (!there.isDirectory() || kind !== 'directory') rmSync(whole(path), { recursive: true })
      // An entry says all of a directory: attributes that it does not have are gone.
      else if (path !== '.') renew(whole(path))
    }
    execFileSync('tar', ['-xpf', '-', '--numeric-owner', '--same-owner', '--xattrs', '--xattrs-include=*', '--exclude=.wh.*', '--delay-directory-restore', '-C', root], { input: tarOf(layer), cwd: scratch, stdio: ['pipe', 'ignore', 'ignore'] })
    // The deepest first: a change below is a change of the directory.
    for (const [path, stat] of [...times].sort(([a], [b]) => b.length - a.length)) {
      if (found(whole(path))?.isDirectory() === true) execFileSync('touch', ['-d', `@${String(stat.mtimeMs / 1000)}`, whole(path)])
    }
  }
}


function renew(directory: string): void {
  renameSync(directory, `${directory}.old`)
  mkdirSync(directory)
  for (const name of readdirSync(`${directory}.old`)) renameSync(join(`${directory}.old`, name), join(directory, name))
  rmdirSync(`${directory}.old`)
}

function found(path: string): Stats | undefined {
  try {
    return lstatSync(path)
  } catch {
    // Not there, or below what is no directory.
    return undefined
  }
}

import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { extract } from 'tar-stream'

import { parentsOf, tarOf, type Layer } from './stack.js'

/** A file system as GNU tar sees it, sorted by name: type, mode, owner, time, content, links, attributes. */
export type View = readonly string[]

const LIST = ['--sort=name', '--format=posix', '--pax-option=delete=atime,delete=ctime', '--xattrs', '--xattrs-include=*', '--numeric-owner', '-cf', '-']

/** An ordinary user looks as the root that its containers have. */
const asRoot = process.geteuid?.() === 0 ? [] : ['unshare', '--user', '--map-root-user', '--map-auto']

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
  const [program = 'tar', ...words] = [...asRoot, 'tar']
  return await listed(program, [...words, ...LIST, '.'], directory)
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
 * What the specification says, word by word, as a script: layer after layer into one directory, deletions of what lies below first,
 * then GNU tar. Directories that a layer only passes through keep their times.
 */
export function extractNaively(stack: readonly Layer[], root: string, scratch: string): void {
  const lines = stack.flatMap((layer, at) => {
    const { nodes } = layer
    const archive = join(scratch, `${String(at)}.tar`)
    writeFileSync(archive, tarOf(layer))
    const listed = new Set(nodes.flatMap(({ kind, path }) => (kind === 'whiteout' || kind === 'opaque' ? [] : [path])))
    const passed = [...new Set(nodes.flatMap(({ path }) => ['.', ...parentsOf(path), path]))].filter((path) => !listed.has(path)).sort((a, b) => b.length - a.length)
    return [
      ...passed.map((path, index) => `isdir ${quoted(path)} && touch -r ${quoted(path)} ${quoted(join(scratch, `time-${String(index)}`))}`),
      ...nodes.flatMap(({ kind, path }) => (kind === 'whiteout' ? [`rm -rf ${quoted(path)}`] : kind === 'opaque' ? [`find ${quoted(path)} -mindepth 1 -delete`] : [])),
      // An entry says all of a directory: attributes that it does not have are gone.
      ...nodes.flatMap(({ kind, path }) => (kind === 'whiteout' || kind === 'opaque' ? [] : kind === 'directory' ? [`renew ${quoted(path)}`] : [`rm -rf ${quoted(path)}`])),
      `tar -xpf ${quoted(archive)} --numeric-owner --same-owner --xattrs '--xattrs-include=*' '--exclude=.wh.*' --delay-directory-restore 2>/dev/null`,
      // In a directory whose group is inherited, GNU tar leaves the bit to those that it makes, whatever the entry says; with five digits chmod takes it away.
      ...nodes.flatMap(({ kind, path, ...node }) => (kind === 'directory' && 'mode' in node ? [`isdir ${quoted(path)} && chmod 0${node.mode.toString(8).padStart(4, '0')} ${quoted(path)}`] : [])),
      // The deepest first: a change below is a change of the directory.
      ...passed.map((path, index) => `isdir ${quoted(path)} && [ -e ${quoted(join(scratch, `time-${String(index)}`))} ] && touch -r ${quoted(join(scratch, `time-${String(index)}`))} ${quoted(path)}`),
      `rm -f ${quoted(join(scratch, 'time-'))}*`,
    ]
  })
  const script = `isdir() { [ -d "$1" ] && [ ! -L "$1" ]; }
renew() {
  isdir "$1" || { rm -rf "$1"; return; }
  mv "$1" "$1.old"; mkdir "$1"; find "$1.old" -mindepth 1 -maxdepth 1 -exec mv -t "$1" {} +; rmdir "$1.old"
}
${lines.join('\n')}
true`
  execFileSync(asRoot[0] ?? 'sh', [...asRoot.slice(1), ...(asRoot.length > 0 ? ['sh'] : []), '-c', script], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] })
}

function quoted(path: string): string {
  return `'${path}'`
}

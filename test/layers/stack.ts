import fc from 'fast-check'

import { archive, type Entry } from '../../packages/native/test/archive.js'

/** What a layer has under one name, before it is written as a tar. */
export type Node =
  | { readonly kind: 'directory' | 'file' | 'fifo' | 'device', readonly path: string, readonly mode: number, readonly owner: Owner, readonly mtime: number, readonly xattr: string, readonly content: string }
  | { readonly kind: 'symlink', readonly path: string, readonly target: string, readonly owner: Owner, readonly mtime: number }
  | { readonly kind: 'link', readonly path: string, readonly target: string }
  | { readonly kind: 'whiteout', readonly path: string }
  | { readonly kind: 'opaque', readonly path: string }

interface Owner { readonly uid: number, readonly gid: number }

export interface Layer {
  /** In the order of the archive: parents before what lies in them. */
  readonly nodes: readonly Node[]
}

/** What is at a path, as far as a generator must know to make legal layers. */
type Kind = 'directory' | 'file' | 'other'

const NAMES = ['a', 'b', 'c', 'é', 'with space']
const MODES = [0o644, 0o755, 0o600, 0o4755, 0o2710, 0o1777, 0o500, 0o000]

interface Draw {
  readonly kind: Node['kind']
  readonly names: readonly string[]
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly mtime: number
  readonly xattr: string
  readonly content: string
  readonly pick: number
  /** Whether the directories on the way have entries of their own in this layer. */
  readonly listed: boolean
  /** Where whiteouts stand among the other entries. */
  readonly late: boolean
}

const draw: fc.Arbitrary<Draw> = fc.record({
  kind: fc.oneof(
    { weight: 5, arbitrary: fc.constant<Node['kind']>('file') }, { weight: 4, arbitrary: fc.constant<Node['kind']>('directory') }, { weight: 2, arbitrary: fc.constant<Node['kind']>('symlink') },
    { weight: 3, arbitrary: fc.constant<Node['kind']>('link') }, { weight: 3, arbitrary: fc.constant<Node['kind']>('whiteout') }, { weight: 2, arbitrary: fc.constant<Node['kind']>('opaque') },
    { weight: 1, arbitrary: fc.constantFrom<Node['kind']>('fifo', 'device') },
  ),
  names: fc.array(fc.constantFrom(...NAMES), { minLength: 1, maxLength: 3 }),
  mode: fc.constantFrom(...MODES),
  uid: fc.constantFrom(0, 0, 1, 1000, 60_000),
  gid: fc.constantFrom(0, 0, 7, 1000),
  mtime: fc.integer({ min: 1, max: 2_000_000_000 }),
  xattr: fc.constantFrom('', '', '', 'value', 'with "quotes" é'),
  content: fc.constantFrom('', 'x', 'some content\n', 'z'.repeat(1500)),
  pick: fc.nat(1000),
  listed: fc.boolean(),
  late: fc.boolean(),
})

/** Stacks of layers, bottom first, that builders may write; `devices`: with device nodes. */
export function stacks({ devices }: { readonly devices: boolean }): fc.Arbitrary<readonly Layer[]> {
  return fc.array(fc.array(draw, { minLength: 1, maxLength: 9 }), { minLength: 1, maxLength: 4 }).map((drawn) => {
    const below = new Map<string, Kind>()
    return drawn.map((draws) => layerOf(draws, below, devices))
  })
}

/** Makes a legal layer of what was drawn, and brings `below` up to date. */
function layerOf(draws: readonly Draw[], below: Map<string, Kind>, devices: boolean): Layer {
  const own = new Map<string, Kind>()
  const hidden = new Set<string>()
  const nodes: Node[] = []
  const late: Node[] = []
  const isHidden = (path: string): boolean => parentsOf(path).concat(path).some((one) => hidden.has(one)) || parentsOf(path).some((one) => hidden.has(`${one}/`))
  const seen = (path: string): Kind | undefined => own.get(path) ?? (isHidden(path) || parentsOf(path).some((one) => own.get(one) !== undefined && own.get(one) !== 'directory') ? undefined : below.get(path))
  // What a link of this layer leads to stays as it is: whether links or deletions come first is nowhere said.
  const targets: string[] = []
  const targeted = (path: string): boolean => targets.some((target) => target === path || target.startsWith(`${path}/`))
  const put = (node: Node, kind: Kind): void => {
    nodes.push(node)
    own.set(node.path, kind)
  }
  for (const one of draws) {
    const path = one.names.join('/')
    const above = parentsOf(path)
    // Under what this layer has as something else, or takes away, there is nothing.
    if (above.some((parent) => (own.get(parent) ?? 'directory') !== 'directory') || own.has(path) || hidden.has(path) || above.some((parent) => hidden.has(parent)) || targeted(path) || above.some((parent) => targets.includes(parent))) continue
    const common = { path, mode: one.mode, owner: { uid: one.uid, gid: one.gid }, mtime: one.mtime, xattr: one.xattr, content: one.content }
    // A directory without an entry stands for one below; where there is none, tools differ in what they make.
    const implicit = above.filter((parent) => !own.has(parent))
    const needsEntry = implicit.filter((parent) => seen(parent) !== 'directory')
    if (one.kind === 'whiteout' || one.kind === 'opaque') {
      if (above.some((parent) => seen(parent) !== 'directory')) continue
      if (one.kind === 'whiteout' && seen(path) === undefined) continue
      if (one.kind === 'opaque' && (seen(path) !== 'directory' || hidden.has(`${path}/`))) continue
      hidden.add(one.kind === 'opaque' ? `${path}/` : path)
      const node: Node = { kind: one.kind, path }
      if (one.late) late.push(node)
      else nodes.push(node)
      for (const parent of implicit) own.set(parent, 'directory')
      if (one.kind === 'opaque') own.set(path, 'directory')
      continue
    }
    let target = ''
    if (one.kind === 'link') {
      const files = [...new Set([...below.keys(), ...own.keys()])].filter((name) => name !== path && !name.startsWith(`${path}/`) && seen(name) === 'file' && !path.startsWith(`${name}/`)).sort()
      if (files.length === 0) continue
      target = files[one.pick % files.length] ?? ''
      targets.push(target)
    }
    if (one.kind === 'device' && !devices) continue
    for (const parent of implicit) {
      if (needsEntry.includes(parent) || one.listed) put({ ...common, kind: 'directory', path: parent, mode: 0o755, xattr: '' }, 'directory')
      else own.set(parent, 'directory')
    }
    if (one.kind === 'link') put({ kind: 'link', path, target }, 'file')
    else if (one.kind === 'symlink') put({ kind: 'symlink', path, target: `../${one.content.slice(0, 20).trim() || 'nowhere'}`, owner: common.owner, mtime: one.mtime }, 'other')
    else put({ ...common, kind: one.kind }, one.kind === 'directory' ? 'directory' : one.kind === 'file' ? 'file' : 'other')
  }
  const all = [...nodes, ...late]
  // What is now seen, for the layers above.
  for (const name of [...below.keys()]) if (isHidden(name) || parentsOf(name).some((one) => own.has(one) && own.get(one) !== 'directory') || (own.has(name) && own.get(name) !== 'directory')) below.delete(name)
  for (const [name, kind] of own) {
    if (kind !== 'directory') for (const under of [...below.keys()]) if (under.startsWith(`${name}/`)) below.delete(under)
    below.set(name, kind)
  }
  return { nodes: all }
}

export function tarOf({ nodes }: Layer): Buffer {
  return archive(...nodes.map(entryOf))
}

export function parentsOf(path: string): string[] {
  const names = path.split('/')
  return names.slice(0, -1).map((_, at) => names.slice(0, at + 1).join('/'))
}

const TYPES = { directory: '5', file: '0', fifo: '6', device: '3', symlink: '2', link: '1' }

function entryOf(node: Node): Entry {
  const { path } = node
  const slash = path.lastIndexOf('/') + 1
  if (node.kind === 'whiteout') return { name: `${path.slice(0, slash)}.wh.${path.slice(slash)}` }
  if (node.kind === 'opaque') return { name: `${path}/.wh..wh..opq` }
  if (node.kind === 'link') return { name: path, type: '1', link: node.target }
  const common = { name: node.kind === 'directory' ? `${path}/` : path, type: TYPES[node.kind], uid: node.owner.uid, mtime: node.mtime }
  const gid = { gid: String(node.owner.gid) }
  if (node.kind === 'symlink') return { ...common, mode: 0o777, link: node.target, pax: gid }
  const xattrs = node.xattr === '' || (node.kind !== 'file' && node.kind !== 'directory') ? {} : { 'SCHILY.xattr.user.test': node.xattr }
  return {
    ...common, mode: node.mode, pax: { ...gid, ...xattrs },
    ...(node.kind === 'file' ? { data: node.content } : {}), ...(node.kind === 'device' ? { major: 1, minor: 3 } : {}),
  }
}

/** As a builder's log would say it. */
export function described(stack: readonly Layer[]): string {
  return stack.map(({ nodes }, at) => `layer ${at}: ${nodes.map((node) => `${node.kind} ${node.path}${'target' in node ? ` -> ${node.target}` : ''}`).join(', ')}`).join('\n')
}

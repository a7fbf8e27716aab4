import { parseSize } from '../units.js'
import { absolute, contradiction, integer, invalid } from './invalid.js'
import { MOUNT, type Operations } from './operations.js'
import type { ResolvedOptions } from './options.js'

const PROPAGATIONS = ['private', 'rprivate', 'slave', 'rslave']

/** A tmpfs, as Docker's `--tmpfs` describes it. */
interface Tmpfs {
  readonly target: string
  readonly mode: number
  readonly size: number
  readonly flags: number
  readonly uid: number
  readonly gid: number
}

/** The mounts of the options, outer ones first. Throws ERR_MAYFLY_OPTION_INVALID. */
export function addMounts(list: Operations, options: Pick<ResolvedOptions, 'tmpfs' | 'mounts'>): void {
  const mounts: { readonly target: string; readonly add: () => void }[] = []
  for (const text of options.tmpfs ?? []) {
    const { target, mode, size, flags, uid, gid } = parseTmpfs(text)
    mounts.push({ target, add: () => void list.mountTmpfs(target, mode, size, flags, uid, gid) })
  }
  for (const { source, target, readonly, propagation, recursive, seed } of options.mounts ?? []) {
    if (propagation !== undefined && !PROPAGATIONS.includes(propagation)) {
      const why = /^r?shared$/.test(propagation) ? 'what a container mounts never reaches the host' : `it is none of ${PROPAGATIONS.join(', ')}`
      throw invalid('mounts.propagation', propagation, why)
    }
    const from = absolute('mounts.source', source)
    const to = mountTarget(target)
    const slave = propagation === 'slave' || propagation === 'rslave'
    mounts.push({ target: to, add: () => void list.mountBind(from, to, (readonly === true ? MOUNT.readonly : 0) | (seed === true ? MOUNT.seed : 0), recursive !== false, slave) })
  }
  const seen = new Set<string>()
  for (const { target } of mounts) {
    if (seen.has(target)) throw contradiction(`a mount on ${target}`, 'another one', 'only the last would be seen')
    seen.add(target)
  }
  // As Docker does: whoever mounts /a and /a/b means to see both.
  for (const { add } of mounts.sort((a, b) => depth(a.target) - depth(b.target))) add()
}

const FLAGS: Readonly<Record<string, readonly [set: number, clear: number]>> = {
  ro: [MOUNT.readonly, 0], rw: [0, MOUNT.readonly], nosuid: [MOUNT.nosuid, 0], suid: [0, MOUNT.nosuid],
  nodev: [MOUNT.nodev, 0], dev: [0, MOUNT.nodev], noexec: [MOUNT.noexec, 0], exec: [0, MOUNT.noexec],
}

function parseTmpfs(text: string): Tmpfs {
  const [path = '', settings = ''] = text.split(/:(.*)/s)
  let flags: number = MOUNT.nosuid | MOUNT.nodev | MOUNT.noexec
  const numbers = { mode: 0o1777, size: 0, uid: 0, gid: 0 }
  for (const setting of settings === '' ? [] : settings.split(',')) {
    const [name = '', value] = setting.split(/=(.*)/s)
    const flag = FLAGS[name]
    if (flag !== undefined && value === undefined) flags = flags & ~flag[1] | flag[0]
    else if (name === 'size' && value !== undefined) numbers.size = parseSize(value)
    else if (name === 'mode' && value !== undefined && /^[0-7]{1,4}$/.test(value)) numbers.mode = Number.parseInt(value, 8)
    else if ((name === 'uid' || name === 'gid') && value !== undefined) numbers[name] = integer(`tmpfs ${name}`, Number(value), 0, 2 ** 32 - 2)
    else throw invalid('tmpfs', text, `unknown setting ${JSON.stringify(setting)}`, 'Known are ro, rw, [no]suid, [no]dev, [no]exec, size=, mode= (octal), uid= and gid=.')
  }
  return { target: mountTarget(path), flags, ...numbers }
}

/** Whether something can be mounted at a path an image names. */
export function isTarget(path: string): boolean {
  return path.startsWith('/') && !/^\/+(?:\.{0,2}\/)*$/.test(`${path}/`) && !/^\/(?:proc|sys|dev)(?:\/|$)/.test(path)
}

function mountTarget(target: string): string {
  const path = absolute('mount target', target)
  if (path === '/' || /^\/(?:proc|sys)(?:\/|$)/.test(path)) throw invalid('mount target', target, 'nothing can be mounted there')
  return path
}

function depth(path: string): number {
  return path.split('/').length
}

import { accessSync, constants, readFileSync, readlinkSync } from 'node:fs'
import { userInfo } from 'node:os'
import { delimiter, join } from 'node:path'

import { nestedMap, userMap, type IdMap } from '../idmap.js'

/** How containers are made here: with root's own rights, or as root of a user namespace with these ids. */
export type Privilege = { readonly mode: 'root' } | { readonly mode: 'user', readonly map: IdMap }

const SYS_ADMIN = 21n
/** The kernel's own number for the first one. */
const INITIAL_NAMESPACE = 'user:[4026531837]'

let known: Privilege | undefined

/**
 * The rights of this process, looked up once. MAYFLY_ID_RANGES=off leaves the ids lent by /etc/subuid unused.
 */
export function privilege(): Privilege {
  known ??= find()
  return known
}

/** Options of the native program's `supervise` and `enter`; none for root. */
export function mapWords(): string[] {
  const own = privilege()
  return own.mode === 'root' ? [] : ['--uid-map', own.map.uids, '--gid-map', own.map.gids]
}

/** The words before a short command of the native program that lead to where it may handle containers' files. */
export function enterWords(): string[] {
  const words = mapWords()
  return words.length === 0 ? [] : ['enter', ...words]
}

function find(): Privilege {
  const uid = process.geteuid?.() ?? 0
  const gid = process.getegid?.() ?? 0
  if (uid === 0) {
    if (isAdmin(read('/proc/self/status')) && readlinkSync('/proc/self/ns/user') === INITIAL_NAMESPACE) return { mode: 'root' }
    return { mode: 'user', map: { uids: nestedMap(read('/proc/self/uid_map')), gids: nestedMap(read('/proc/self/gid_map')) } }
  }
  const lent = process.env['MAYFLY_ID_RANGES'] !== 'off'
  return {
    mode: 'user',
    map: userMap({
      uid, gid, name: userName(uid), mappers: isInstalled('newuidmap') && isInstalled('newgidmap'),
      subuid: lent ? read('/etc/subuid') : '', subgid: lent ? read('/etc/subgid') : '',
    }),
  }
}

function isAdmin(status: string): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'
  return (BigInt(`0x${effective}`) >> SYS_ADMIN & 1n) === 1n
}

/** A user without an account is known by number, in /etc/subuid too. */
function userName(uid: number): string {
  try {
    return userInfo().username
  } catch {
    return String(uid)
  }
}

function isInstalled(program: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

import { MayflyError } from '../errors.js'

/** Who a container's process is. */
export interface Identity {
  readonly uid: number
  readonly gid: number
  /** Supplementary groups, ascending. */
  readonly groups: readonly number[]
  readonly home: string
}

interface Account {
  readonly name: string
  readonly uid: number
  readonly gid: number
  readonly home: string
}

const LARGEST_ID = 2 ** 32 - 2

/**
 * Reads Docker's `user[:group]` against the image's /etc/passwd and /etc/group. Names must be there, numbers need not.
 * Throws ERR_MAYFLY_OPTION_INVALID.
 */
export function resolveUser(user: string, passwd: string, group: string): Identity {
  const [who = '', wanted, ...rest] = user.split(':')
  if (rest.length > 0 || wanted === '') throw invalid(user, 'it is not of the form user[:group]')
  const accounts = parsePasswd(passwd)
  const number = numericId(who, user)
  const account = who === '' ? accounts.find(({ uid }) => uid === 0)
    : accounts.find(({ name }) => name === who) ?? accounts.find(({ uid }) => uid === number)
  if (account === undefined && number === undefined && who !== '') throw invalid(user, `the image has no user ${JSON.stringify(who)}`)
  const uid = account?.uid ?? number ?? 0
  const groups = parseGroups(group)
  const home = account?.home ?? (uid === 0 ? '/root' : '/')
  if (wanted !== undefined) {
    const gid = groups.find(({ name }) => name === wanted)?.gid ?? numericId(wanted, user)
    if (gid === undefined) throw invalid(user, `the image has no group ${JSON.stringify(wanted)}`)
    return { uid, gid, groups: [gid], home }
  }
  const gid = account?.gid ?? 0
  const member = account === undefined ? [] : groups.filter(({ members }) => members.includes(account.name))
  const all = new Set([gid, ...member.map((one) => one.gid)])
  return { uid, gid, groups: [...all].sort((a, b) => a - b), home }
}

/** The identity with Docker's `--group-add`. Throws ERR_MAYFLY_OPTION_INVALID for a name the image does not have. */
export function addGroups(identity: Identity, added: readonly (string | number)[] = [], group: string): Identity {
  if (added.length === 0) return identity
  const known = parseGroups(group)
  const gids = added.map((one) => {
    const text = String(one)
    const gid = known.find(({ name }) => name === text)?.gid ?? (isId(text) ? Number(text) : undefined)
    if (gid !== undefined) return gid
    throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `Invalid groupAdd ${JSON.stringify(one)}: the image has no such group`, {
      hint: 'Use a name of the image\'s /etc/group, or a number.',
    })
  })
  return { ...identity, groups: [...new Set([...identity.groups, ...gids])].sort((a, b) => a - b) }
}

function numericId(text: string, user: string): number | undefined {
  if (!/^[0-9]+$/.test(text)) return undefined
  const id = Number(text)
  if (id > LARGEST_ID) throw invalid(user, `${text} is too large for an id`)
  return id
}

function parsePasswd(content: string): Account[] {
  return records(content).flatMap(([name = '', , uid = '', gid = '', , home = '']) =>
    isId(uid) && isId(gid) && name !== ''
      ? [{ name, uid: Number(uid), gid: Number(gid), home: home.startsWith('/') ? home : '/' }] : [])
}

function parseGroups(content: string): { name: string; gid: number; members: string[] }[] {
  return records(content).flatMap(([name = '', , gid = '', members = '']) =>
    isId(gid) && name !== '' ? [{ name, gid: Number(gid), members: members.split(',') }] : [])
}

function records(content: string): string[][] {
  return content.split('\n').filter((line) => line !== '' && !line.startsWith('#')).map((line) => line.split(':'))
}

function isId(text: string): boolean {
  return /^[0-9]{1,10}$/.test(text) && Number(text) <= LARGEST_ID
}

function invalid(user: string, why: string): MayflyError {
  return new MayflyError('ERR_MAYFLY_OPTION_INVALID', `Invalid user ${JSON.stringify(user)}: ${why}`, {
    hint: 'Use a name of the image\'s /etc/passwd, or numbers as in "999:999".',
  })
}

/** How the ids inside a user namespace stand for ids outside: extents `inside:outside:count`, comma separated. */
export interface IdMap {
  readonly uids: string
  readonly gids: string
  /** Why there is but one id inside, as a sentence that names the mend; absent where there are 65,536 or so. */
  readonly lacking?: string
}

export interface UserFacts {
  readonly uid: number
  readonly gid: number
  readonly name: string
  /** Contents of /etc/subuid and /etc/subgid. */
  readonly subuid: string
  readonly subgid: string
  /** Whether newuidmap and newgidmap are installed. */
  readonly mappers: boolean
}

const COUNT = 65_536

/** The user itself as root, and behind it the ids lent to that user. Without such a loan, or half of it, root alone. */
export function userMap(facts: UserFacts): IdMap {
  const uids = rangesOf(facts.subuid, facts.name, facts.uid)
  const gids = rangesOf(facts.subgid, facts.name, facts.uid)
  const mend = rangesMend(facts)
  if (mend === undefined) return { uids: extents(facts.uid, uids), gids: extents(facts.gid, gids) }
  return { uids: `0:${facts.uid}:1`, gids: `0:${facts.gid}:1`, lacking: mend }
}

/** What to do so that a user's containers have users and groups of their own; `undefined` when nothing is. */
export function rangesMend({ name, uid, subuid, subgid, mappers }: UserFacts): string | undefined {
  if (!mappers) return 'Install newuidmap and newgidmap: the package uidmap (Debian, Ubuntu), shadow-utils (Fedora), shadow-uidmap (Alpine).'
  const missing = [['/etc/subuid', subuid], ['/etc/subgid', subgid]]
    .filter(([, text]) => rangesOf(text ?? '', name, uid).length === 0).map(([file]) => file)
  if (missing.length === 0) return undefined
  const start = firstFree(subuid, subgid)
  const lines = missing.map((file) => `${file}:  ${name}:${start}:${COUNT}`).join('\n  ')
  return `Add ${missing.length === 1 ? 'this line' : 'these lines'} as root:\n  ${lines}`
}

/** The ids of a namespace in which we are root already, each as itself. `table` is /proc/self/uid_map or gid_map. */
export function nestedMap(table: string): string {
  // An extent may not span two of the surrounding map.
  return table.trim().split('\n').map((line) => {
    const [inside = '0', , count = '1'] = line.trim().split(/\s+/)
    return `${inside}:${inside}:${count}`
  }).join(',')
}

function extents(own: number, ranges: readonly Range[]): string {
  let next = 1
  const list = [`0:${own}:1`]
  for (const { start, count } of ranges) {
    list.push(`${next}:${start}:${count}`)
    next += count
  }
  return list.join(',')
}

interface Range {
  readonly start: number
  readonly count: number
}

function rangesOf(text: string, name: string, uid: number): Range[] {
  return parse(text).filter(({ owner }) => owner === name || owner === String(uid))
}

function firstFree(...texts: readonly string[]): number {
  const ends = texts.flatMap(parse).map(({ start, count }) => start + count)
  return Math.max(100_000, ...ends)
}

function parse(text: string): (Range & { readonly owner: string })[] {
  return text.split('\n').flatMap((line) => {
    const [, owner, start, count] = /^([^:#]+):(\d{1,10}):(\d{1,10})\s*$/.exec(line) ?? []
    const range = { owner: owner ?? '', start: Number(start), count: Number(count) }
    return owner !== undefined && range.count > 0 && range.start + range.count <= 2 ** 32 ? [range] : []
  })
}

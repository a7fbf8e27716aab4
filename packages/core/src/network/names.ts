import { MayflyError } from '../errors.js'

/** A container on a network, and what it is called there. */
export interface NamedMember {
  readonly address: number
  readonly names: readonly string[]
}

/** Names that a container of every network resolves to the machine the tests run on. */
export const HOST_NAMES = ['host.mayfly.internal', 'host.docker.internal'] as const

const NAME = /^(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*$/i
const RESERVED = new Set(['localhost', 'gateway', ...HOST_NAMES])

/** Checks aliases. Throws ERR_MAYFLY_OPTION_INVALID for one that is no host name, or means something else everywhere. */
export function checkAliases(aliases: readonly string[]): readonly string[] {
  for (const alias of aliases) {
    const why = typeof alias !== 'string' || !NAME.test(alias) || /^[\d.]+$/.test(alias) ? 'it is no host name'
      : RESERVED.has(alias.toLowerCase()) ? 'the name means something else in every container' : undefined
    if (why === undefined) continue
    throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `Invalid aliases ${JSON.stringify(alias)}: ${why}`, {
      hint: 'An alias is a host name such as "db" or "db.test": letters, digits and hyphens.',
    })
  }
  return aliases
}

/** Every name with its address, for those who ask by DNS: a shared name stands there once for each who has it. */
export function nameRecords(members: Iterable<NamedMember>): { name: string; address: number }[] {
  const records: { name: string; address: number }[] = []
  for (const { address, names } of members) {
    for (const name of new Set(names.map((one) => one.toLowerCase()))) if (NAME.test(name)) records.push({ name, address })
  }
  return records
}

/** What /etc/hosts says about the others: only names of a single container, since the file knows no taking of turns. */
export function hostsEntries(members: readonly NamedMember[], own: number): { address: number; names: string[] }[] {
  const owners = new Map<string, number>()
  for (const { name } of nameRecords(members)) owners.set(name, (owners.get(name) ?? 0) + 1)
  return members.filter(({ address }) => address !== own)
    .map(({ address, names }) => ({ address, names: [...new Set(names)].filter((name) => owners.get(name.toLowerCase()) === 1) }))
    .filter(({ names }) => names.length > 0)
}

import type { ExitStatus } from '../container/types.js'
import type { Address } from './address.js'
import type { EndedContainer, Lease, Session } from './client.js'
import { isConnectedTo } from './left-open.js'

/** Milliseconds for reading one log: a failed test must not wait for a stuck container. */
const PATIENCE = 2000

/** What a failed test's message says of the containers it used: how to reach them, and their last log lines. */
export async function describeContainers(leases: Iterable<readonly [name: string, lease: Lease]>): Promise<string> {
  const sections = await Promise.all([...leases].map(async ([name, lease]) => {
    const { grant } = lease
    const found = await patiently(lease.describe())
    if (found === undefined) return `${name} (${grant.name}) has ended, and its log with it.`
    if (grant.id === '') return `${name} is the external server at ${reachOf(grant.address)}.`
    const how = found.ended === null ? undefined : found.ended === 'stopped' ? 'was stopped by the test' : diedOf(found.ended)
    const title = `${name} (${grant.name}) ${how ?? `at ${reachOf(grant.address)}`}`
    return found.lines.length === 0 ? `${title}${how === undefined ? ' printed nothing' : ''}.` : `${title}, its last log lines:\n${indented(found.lines)}`
  }))
  return sections.map(section => `\n\n  ${section}`).join('')
}

/** What a failed test's message says of containers that ended while it ran, and that it did not use itself; empty for none. */
export function describeEnded(ended: readonly EndedContainer[]): string {
  return ended.map(({ name, exit, lines }) =>
    `\n\n  ${name} ${diedOf(exit)}${lines.length === 0 ? '.' : `, its last log lines:\n${indented(lines)}`}`).join('')
}

/** What a failed test's message says of services it has connected to and nobody has asked for: what it sent them waits. `known` are their addresses by name. */
export async function describeUnasked(known: Readonly<Record<string, Address>>, session: () => Session): Promise<string> {
  const names = Object.entries(known).filter(([, address]) => isConnectedTo({ address })).map(([name]) => name)
  const held = names.length === 0 ? [] : await patiently(session().holding(names)) ?? []
  return held.map(name => `\n\n  ${name} was connected to, and nobody has asked for it: the connection waits. Ask for it in this file, container('${name}').`).join('')
}

/** A service that died while the test needed it is often the whole story. */
function diedOf({ code, signal, oomKilled }: ExitStatus): string {
  if (oomKilled) return 'DIED: it used more memory than it may'
  return `DIED: ${signal === undefined ? `its process ended with status ${String(code)}` : `its process was ended by ${signal}`}`
}

function indented(lines: readonly string[]): string {
  return lines.map(line => `    ${line}`).join('\n')
}

/** A line for the terminal where there is one, else the address. */
export function reachOf({ host, ports, facts }: Address): string {
  const { url } = facts
  if (url?.startsWith('postgres:') === true) return `psql ${url}`
  if (url?.startsWith('redis:') === true) return `redis-cli -u ${url}`
  if (url?.startsWith('mysql:') === true && facts['database'] !== undefined) return mysqlLine(url, facts['database'])
  if (url?.startsWith('mongodb:') === true) return `mongosh ${url}`
  const numbers = Object.values(ports)
  return url ?? (numbers.length === 0 ? host : numbers.map(number => `${host}:${String(number)}`).join(', '))
}

function mysqlLine(text: string, database: string): string {
  const { hostname, port, username, password } = new URL(text)
  return `mysql -h ${hostname} -P ${port || '3306'} -u ${decodeURIComponent(username)} -p${decodeURIComponent(password)} ${database}`
}

async function patiently<T>(work: Promise<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined
  const patience = new Promise<undefined>(resolve => void (timer = setTimeout(() => resolve(undefined), PATIENCE)))
  try {
    return await Promise.race([work.catch(() => undefined), patience])
  } finally {
    clearTimeout(timer)
  }
}

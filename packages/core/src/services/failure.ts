import type { ExitStatus } from '../container/types.js'
import type { Address } from './addresses.js'
import type { Lease } from './client.js'
import type { WireLogLine } from './calls.js'

/** As many lines of a container's log stand in the message of a failed test. */
const SHOWN_LINES = 50
/** Milliseconds for reading one log: a failed test must not wait for a stuck container. */
const PATIENCE = 2000

/** What a failed test's message says of the containers it used: how to reach them, and their last log lines. */
export async function describeContainers(leases: Iterable<readonly [name: string, lease: Lease]>): Promise<string> {
  const sections = await Promise.all([...leases].map(async ([name, lease]) => {
    const [lines, ended] = await Promise.all([lastLines(lease), howEnded(lease)])
    if (lines === undefined && ended === undefined) return `${name} (${lease.grant.name}) has ended, and its log with it.`
    const title = `${name} (${lease.grant.name}) ${ended ?? `at ${reach(lease.grant.address)}`}`
    return lines === undefined || lines.length === 0 ? `${title}${ended === undefined ? ' printed nothing' : ''}.` : `${title}, its last log lines:\n${lines.map(line => `    ${line}`).join('\n')}`
  }))
  return sections.map(section => `\n\n  ${section}`).join('')
}

/** A service that died while the test needed it is often the whole story. */
async function howEnded(lease: Lease): Promise<string | undefined> {
  const status = await lease.call('ended', []).catch(() => undefined)
  if (status === null || status === undefined) return undefined
  if (status === 'stopped') return 'was stopped by the test'
  const { code, signal, oomKilled } = status as ExitStatus
  if (oomKilled) return 'DIED: it used more memory than it may'
  return `DIED: ${signal === undefined ? `its process ended with status ${String(code)}` : `its process was ended by ${signal}`}`
}

/** A line for the terminal where there is one, else the address. */
function reach({ host, ports, facts }: Address): string {
  const { url } = facts
  if (url?.startsWith('postgres:') === true) return `psql ${url}`
  if (url?.startsWith('redis:') === true) return `redis-cli -u ${url}`
  const numbers = Object.values(ports)
  return url ?? (numbers.length === 0 ? host : numbers.map(number => `${host}:${String(number)}`).join(', '))
}

async function lastLines(lease: Lease): Promise<readonly string[] | undefined> {
  const lines: string[] = []
  const read = async (): Promise<readonly string[] | undefined> => {
    try {
      for await (const line of lease.stream('logs', [{ tail: SHOWN_LINES }])) lines.push((line as WireLogLine).text)
      return lines
    } catch {
      return undefined
    }
  }
  let timer: NodeJS.Timeout | undefined
  const patience = new Promise<readonly string[]>(resolve => void (timer = setTimeout(resolve, PATIENCE, lines)))
  const found = await Promise.race([read(), patience])
  clearTimeout(timer)
  return found
}

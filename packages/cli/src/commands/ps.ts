import { readFileSync } from 'node:fs'

import type { RunningListing } from '@mayfly/core/listing'

import { elapsed } from '../table.js'
import { formatList, type Column } from '../template/index.js'

interface Row {
  readonly ID: string
  readonly Image: string
  readonly Command: string
  readonly CreatedAt: string
  readonly RunningFor: string
  readonly Status: string
  readonly State: string
  readonly Ports: string
  readonly Names: string
  readonly Run: string
  readonly Owner: string
}

/** Lists the containers of all live runs, with Docker's columns and the process each belongs to. */
export async function ps(
  options: { readonly all?: boolean, readonly quiet?: boolean, readonly format?: string, readonly trunc: boolean },
): Promise<void> {
  const { listContainers } = await import('@mayfly/core/listing')
  const now = Date.now()
  const shown = (await listContainers()).filter(({ state }) => options.all === true || state === 'running')
  const rows = shown.map((one) => rowOf(one, options.trunc, now))
  process.stdout.write(formatList(rows, { columns, format: options.format, quiet: options.quiet === true ? 'ID' : undefined }))
}

const columns: readonly Column<Row>[] = [
  ['ID', 'CONTAINER ID'], ['Image', 'IMAGE'], ['Command', 'COMMAND'], ['RunningFor', 'CREATED'], ['Status', 'STATUS'],
  ['Ports', 'PORTS'], ['Names', 'NAMES'], ['Owner', 'OWNER'],
]

function rowOf(one: RunningListing, truncated: boolean, now: number): Row {
  const command = one.command.join(' ')
  const created = one.createdAt ?? new Date(now)
  return {
    ID: truncated ? one.id.slice(0, 12) : one.id,
    Image: one.image,
    Command: JSON.stringify(truncated && command.length > 20 ? `${command.slice(0, 19)}…` : command),
    CreatedAt: created.toISOString(),
    RunningFor: `${elapsed(created.getTime(), now)} ago`,
    Status: statusOf(one, now),
    State: one.state,
    Ports: one.ports.map(({ host, number, container, protocol }) => `${host}:${number}->${container}/${protocol}`).join(', '),
    Names: one.name,
    Run: one.runId,
    Owner: `${one.ownerPid} ${nameOf(one.ownerPid)}`.trim(),
  }
}

function statusOf(one: RunningListing, now: number): string {
  if (one.state === 'created') return 'Created'
  if (one.state === 'running') return `Up ${elapsed(one.startedAt?.getTime() ?? now, now)}`
  return `Exited (${one.exitCode}) ${elapsed(one.exitedAt?.getTime() ?? now, now)} ago`
}

function nameOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim()
  } catch {
    return ''
  }
}

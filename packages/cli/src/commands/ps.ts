import { readFileSync } from 'node:fs'

import type { RunningListing } from '@mayfly/core/listing'

import { listingFilter } from '../listing-filter.js'
import { humanSize } from '../size.js'
import { elapsed } from '../table.js'
import { formatList, type Column } from '../template/index.js'

interface Flags {
  readonly all?: boolean
  readonly quiet?: boolean
  readonly filter?: readonly string[]
  readonly last?: number
  readonly latest?: boolean
  readonly size?: boolean
  readonly trunc: boolean
  readonly format?: string
}

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
  readonly Labels: string
  readonly Mounts: string
  readonly LocalVolumes: string
  readonly Networks: string
  readonly Size: string
  readonly Run: string
  readonly Owner: string
}

/** Lists the containers of all live runs, and those that are kept, with Docker's columns and the process each belongs to. */
export async function ps({ all, quiet, filter = [], last = latestOf, latest, size, trunc, format }: Flags): Promise<void> {
  const { listContainers } = await import('@mayfly/core/listing')
  const now = Date.now()
  const listed = await listContainers()
  const { fits, states } = listingFilter(filter, listed)
  const count = latest === true ? 1 : last
  const chosen = listed.filter((one) => fits(one) && (all === true || count > 0 || states || one.state === 'running' || one.state === 'paused' || one.state === 'restarting'))
  const shown = count > 0 ? chosen.slice(0, count) : chosen
  const wantsSize = size === true || format?.includes('.Size') === true
  const rows = await Promise.all(shown.map(async (one) => rowOf(one, trunc, now, wantsSize ? await sizeOf(one) : '')))
  const all_: readonly Column<Row>[] = size === true ? [...columns.slice(0, -1), ['Size', 'SIZE'], ...columns.slice(-1)] : columns
  process.stdout.write(formatList(rows, { columns: all_, heads, format, quiet: quiet === true ? 'ID' : undefined }))
}

const latestOf = -1
const columns: readonly Column<Row>[] = [
  ['ID', 'CONTAINER ID'], ['Image', 'IMAGE'], ['Command', 'COMMAND'], ['RunningFor', 'CREATED'], ['Status', 'STATUS'],
  ['Ports', 'PORTS'], ['Names', 'NAMES'], ['Owner', 'OWNER'],
]
const heads = { CreatedAt: 'CREATED AT', LocalVolumes: 'LOCAL VOLUMES' }

function rowOf(one: RunningListing, truncated: boolean, now: number, size: string): Row {
  const command = one.command.join(' ')
  const created = one.createdAt ?? new Date(now)
  const mounts = [...one.volumes, ...(one.kept?.options.mounts ?? []).flatMap((mount) => ('source' in mount ? [mount.source] : []))]
  return {
    ID: truncated ? one.id.slice(0, 12) : one.id,
    Image: one.image,
    Command: JSON.stringify(truncated && command.length > 20 ? `${command.slice(0, 19)}…` : command),
    CreatedAt: created.toISOString(),
    RunningFor: `${elapsed(created.getTime(), now)} ago`,
    Status: statusOf(one, now),
    State: one.state,
    Ports: one.ports.map(({ host, number, container, protocol }) => (host === '' ? `${container}/${protocol}` : `${host}:${number}->${container}/${protocol}`)).join(', '),
    Names: one.name,
    Labels: Object.entries(one.labels).map(([name, value]) => `${name}=${value}`).join(','),
    Mounts: mounts.map((path) => (truncated && path.length > 15 ? `${path.slice(0, 14)}…` : path)).join(','),
    LocalVolumes: String(one.volumes.length),
    Networks: one.networks.join(','),
    Size: size,
    Run: one.runId,
    Owner: one.ownerPid === 0 ? '' : `${one.ownerPid} ${nameOf(one.ownerPid)}`.trim(),
  }
}

export function statusOf(one: RunningListing, now: number): string {
  if (one.state === 'created') return 'Created'
  const ended = one.exitedAt === undefined ? '' : ` ${elapsed(one.exitedAt.getTime(), now)} ago`
  if (one.state === 'exited') return `Exited (${one.exitCode})${ended}`
  if (one.state === 'restarting') return `Restarting (${one.exitCode})${ended}`
  return `Up ${elapsed(one.startedAt?.getTime() ?? now, now)}${one.state === 'paused' ? ' (Paused)' : healthOf(one)}`
}

function healthOf({ health }: RunningListing): string {
  return health === undefined ? '' : health.status === 'starting' ? ' (health: starting)' : ` (${health.status})`
}

async function sizeOf(one: RunningListing): Promise<string> {
  const { changesSize } = await import('@mayfly/core/engine')
  const bytes = await changesSize(one)
  return bytes === undefined ? 'in memory' : humanSize(bytes)
}

function nameOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim()
  } catch {
    return ''
  }
}

import type { RemoteContainer, RunningListing } from '@mayfly/core/engine'
import { setTimeout as sleep } from 'node:timers/promises'

import { binarySize, humanSize } from '../size.js'
import { formatList, type Column } from '../template/index.js'

interface Flags {
  readonly all?: boolean
  readonly stream: boolean
  readonly trunc: boolean
  readonly format?: string
}

interface Row {
  readonly ID: string
  readonly Container: string
  readonly Name: string
  readonly CPUPerc: string
  readonly MemUsage: string
  readonly MemPerc: string
  readonly NetIO: string
  readonly BlockIO: string
  readonly PIDs: string
}

const columns: readonly Column<Row>[] = [
  ['ID', 'CONTAINER ID'], ['Name', 'NAME'], ['CPUPerc', 'CPU %'], ['MemUsage', 'MEM USAGE / LIMIT'], ['MemPerc', 'MEM %'],
  ['NetIO', 'NET I/O'], ['BlockIO', 'BLOCK I/O'], ['PIDs', 'PIDS'],
]
const heads = { Container: 'CONTAINER' }
const STEP = 1000
const NONE = '--'

/** Shows what containers use: on a terminal anew every second, else a list after the other; once without `stream`. */
export async function stats(names: readonly string[], { all, stream, trunc, format }: Flags): Promise<void> {
  const { findContainer, listContainers } = await import('@mayfly/core/engine')
  const chosen = async (): Promise<readonly RunningListing[]> => names.length > 0 ? Promise.all(names.map((name) => findContainer(name)))
    : (await listContainers()).filter((one) => all === true || isUp(one))
  const watched = new Map<string, Watched>()
  let stopped = false
  const stop = (): void => { stopped = true }
  if (stream) for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => { stop(); process.exit(0) })
  try {
    for (;;) {
      const listed = await chosen()
      const rows = await Promise.all(listed.map((one) => rowOf(one, watched, trunc)))
      // A terminal is drawn anew from its top; the first figures of a processor need a second look.
      const clear = stream && process.stdout.isTTY ? '\x1b[H\x1b[J' : ''
      process.stdout.write(clear + formatList(rows, { columns, heads, format }))
      if (!stream || stopped || (names.length > 0 && !listed.some(isUp))) return
      await sleep(STEP)
    }
  } finally {
    for (const one of watched.values()) await one.container[Symbol.asyncDispose]()
  }
}

interface Watched {
  readonly container: RemoteContainer
  before: { readonly cpu: number, readonly at: number } | undefined
}

async function rowOf(one: RunningListing, watched: Map<string, Watched>, trunc: boolean): Promise<Row> {
  const common = { ID: trunc ? one.id.slice(0, 12) : one.id, Container: one.id, Name: one.name }
  const used = isUp(one) ? await look(one, watched) : undefined
  if (used === undefined) return { ...common, CPUPerc: NONE, MemUsage: `${NONE} / ${NONE}`, MemPerc: NONE, NetIO: NONE, BlockIO: NONE, PIDs: NONE }
  return {
    ...common, CPUPerc: percent(used.cpu), MemUsage: `${binarySize(used.memory)} / ${binarySize(used.memoryLimit)}`, MemPerc: percent(used.memory / used.memoryLimit),
    NetIO: `${humanSize(used.network.received)} / ${humanSize(used.network.sent)}`, BlockIO: `${humanSize(used.io.read)} / ${humanSize(used.io.written)}`, PIDs: String(used.pids),
  }
}

/** What it used since the last look; at the first, in the tenth of a second between two. */
async function look(one: RunningListing, watched: Map<string, Watched>): Promise<Awaited<ReturnType<RemoteContainer['stats']>> | undefined> {
  try {
    const { openContainer } = await import('@mayfly/core/engine')
    const known = watched.get(one.id) ?? { container: await openContainer(one.id), before: undefined }
    watched.set(one.id, known)
    if (known.before === undefined) {
      known.before = { cpu: (await known.container.stats()).cpu, at: performance.now() }
      await sleep(100)
    }
    const [used, at] = [await known.container.stats(), performance.now()]
    const cpu = (used.cpu - known.before.cpu) / ((at - known.before.at) * 1e6)
    known.before = { cpu: used.cpu, at }
    return { ...used, cpu: Math.max(0, cpu) }
  } catch {
    // It ended meanwhile.
    watched.delete(one.id)
    return undefined
  }
}

function isUp({ state }: RunningListing): boolean {
  return state === 'running' || state === 'paused'
}

function percent(part: number): string {
  return `${(part * 100).toFixed(2)}%`
}

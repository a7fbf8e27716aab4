import { agreed } from '../agreed.js'
import { ask } from '../keeper.js'
import { pruneCondition, type Prunable } from '../prune-filter.js'
import { humanSize } from '../size.js'

interface Flags {
  readonly force?: boolean
  readonly filter?: readonly string[]
}

/** Removes the containers that the background run keeps and that do not run. */
export async function containerPrune({ force, filter = [] }: Flags): Promise<void> {
  const fits = filter.map((text) => pruneCondition(text, Date.now()))
  if (!await agreed('all stopped containers', force)) return
  const { ids, bytes } = await pruneContainers((one) => fits.every((fit) => fit(one)))
  if (ids.length > 0) process.stdout.write(`Deleted Containers:\n${ids.map((id) => `${id}\n`).join('')}\n`)
  process.stdout.write(`Total reclaimed space: ${humanSize(bytes)}\n`)
}

/** Those that are kept, do not run, and fit. */
export async function pruneContainers(fits: (one: Prunable) => boolean = () => true): Promise<{ readonly ids: readonly string[], readonly bytes: number }> {
  const { changesSize, listContainers } = await import('@mayfly/core/engine')
  const idle = (await listContainers()).filter((one) => one.kept !== undefined && (one.state === 'exited' || one.state === 'created') && fits(one))
  let bytes = 0
  for (const one of idle) bytes += await changesSize(one) ?? 0
  for (const { id } of idle) await ask({ do: 'remove', container: id, force: false }, { start: true })
  return { ids: idle.map(({ id }) => id), bytes }
}

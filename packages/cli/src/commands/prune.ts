import type { Garbage } from '@mayfly/core/engine'

import { invalid } from '../action.js'
import { agreed } from '../agreed.js'
import { ask } from '../keeper.js'
import { humanSize } from '../size.js'
import { parseTime } from '../time.js'
import { pruneContainers } from './container-prune.js'

export interface PruneOptions {
  readonly all?: boolean
  readonly force?: boolean
  readonly filter?: readonly string[]
  readonly volumes?: boolean
  /** A duration. */
  readonly unused?: string
  /** A size. */
  readonly keepStorage?: string
}

/** Finishes what dead runs left, and removes what nobody uses; asks where something of the user's would go. */
export async function prune(options: PruneOptions): Promise<void> {
  const { listContainers, listVolumes, prune: finish, pruneVolumes } = await import('@mayfly/core/engine')
  const stopped = (await listContainers()).some(({ kept, state }) => kept !== undefined && (state === 'exited' || state === 'created'))
  const loses = [
    ...(stopped ? ['all stopped containers'] : []), ...(options.all === true ? ['all images without a container'] : []),
    ...(options.volumes === true && (await listVolumes()).length > 0 ? ['all volumes without a name and a container'] : []),
  ]
  if (loses.length > 0 && !await agreed(loses.join(', '), options.force)) return
  const { ids, bytes } = await pruneContainers()
  if (ids.length > 0) process.stdout.write(`Deleted Containers:\n${ids.map((id) => `${id}\n`).join('')}\n`)
  const networks = (await ask({ do: 'network', request: { act: 'prune' } }) ?? []) as readonly string[]
  if (networks.length > 0) process.stdout.write(`Deleted Networks:\n${networks.map((name) => `${name}\n`).join('')}\n`)
  const volumes = options.volumes === true ? await pruneVolumes() : { names: [], bytes: 0 }
  if (volumes.names.length > 0) process.stdout.write(`Deleted Volumes:\n${volumes.names.map((name) => `${name}\n`).join('')}\n`)
  const gone = await finish()
  for (const id of gone) process.stdout.write(`${id}\n`)
  process.stdout.write(`${gone.length === 1 ? '1 dead run' : `${gone.length} dead runs`} finished\n`)
  await show(await collect(options), bytes + volumes.bytes)
}

/** Removes images: those without a name, or all that no container is made from. */
export async function imagePrune(options: PruneOptions): Promise<void> {
  const which = options.all === true ? 'all images without at least one container associated to them' : 'all dangling images'
  if (!await agreed(which, options.force)) return
  await show(await collect(options))
}

/** Forgets the steps of builds; what an image has of them stays with it. */
export async function builderPrune({ force, filter = [] }: PruneOptions): Promise<void> {
  const { openStore, pruneBuilds } = await import('@mayfly/core/engine')
  const now = Date.now()
  const odd = filter.find((text) => !text.startsWith('until='))
  if (odd !== undefined) throw invalid(`Invalid filter ${JSON.stringify(odd)}`, 'The filter is until=TIME, such as until=24h.')
  if (!await agreed('all steps of builds, which the next build does again', force)) return
  const ages = filter.map((text) => now - parseTime(text.slice('until='.length), now))
  const { bytes } = await pruneBuilds(await openStore(), { unusedFor: Math.max(0, ...ages) })
  process.stdout.write(`Total reclaimed space: ${humanSize(bytes)}\n`)
}

async function collect({ all = false, filter = [], unused, keepStorage }: PruneOptions): Promise<Garbage> {
  const { imageFilter, listCatalog, openStore, parseDuration, parseSize, pruneImages } = await import('@mayfly/core/engine')
  const catalog = await listCatalog(await openStore())
  return pruneImages({
    all, filter: imageFilter(filter, catalog, Date.now()),
    ...(unused === undefined ? {} : { unusedFor: parseDuration(unused), all: true }),
    ...(keepStorage === undefined ? {} : { cap: parseSize(keepStorage) }),
  })
}

async function show({ images, layers, bytes }: Garbage, more = 0): Promise<void> {
  const { untaggedNames } = await import('@mayfly/core/engine')
  if (images.length + layers.length > 0) process.stdout.write('Deleted Images:\n')
  for (const { names, id } of images) {
    for (const name of untaggedNames(names, [])) process.stdout.write(`untagged: ${name}\n`)
    process.stdout.write(`deleted: ${id}\n`)
  }
  for (const layer of layers) process.stdout.write(`deleted: ${layer}\n`)
  process.stdout.write(`${images.length + layers.length > 0 ? '\n' : ''}Total reclaimed space: ${humanSize(bytes + more)}\n`)
}

import type { Garbage } from '@mayfly/core/engine'

import { humanSize } from '../size.js'

export interface PruneOptions {
  readonly all?: boolean
  readonly force?: boolean
  readonly filter?: readonly string[]
  /** A duration. */
  readonly unused?: string
  /** A size. */
  readonly keepStorage?: string
}

/** Finishes what dead runs left, names them, and removes images that nobody uses. */
export async function prune(options: PruneOptions): Promise<void> {
  const { prune: finish } = await import('@mayfly/core/engine')
  if (options.all === true && !await agreed('all images without a container', options)) return
  const gone = await finish()
  for (const id of gone) process.stdout.write(`${id}\n`)
  process.stdout.write(`${gone.length === 1 ? '1 dead run' : `${gone.length} dead runs`} finished\n`)
  await show(await collect(options))
}

/** Removes images: those without a name, or all that no container is made from. */
export async function imagePrune(options: PruneOptions): Promise<void> {
  const which = options.all === true ? 'all images without at least one container associated to them' : 'all dangling images'
  if (!await agreed(which, options)) return
  await show(await collect(options))
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

async function show({ images, layers, bytes }: Garbage): Promise<void> {
  const { untaggedNames } = await import('@mayfly/core/engine')
  if (images.length + layers.length > 0) process.stdout.write('Deleted Images:\n')
  for (const { names, id } of images) {
    for (const name of untaggedNames(names, [])) process.stdout.write(`untagged: ${name}\n`)
    process.stdout.write(`deleted: ${id}\n`)
  }
  for (const layer of layers) process.stdout.write(`deleted: ${layer}\n`)
  process.stdout.write(`${images.length + layers.length > 0 ? '\n' : ''}Total reclaimed space: ${humanSize(bytes)}\n`)
}

/** Asks as Docker does; without anybody to answer, it is no. */
async function agreed(which: string, { force }: PruneOptions): Promise<boolean> {
  if (force === true) return true
  process.stdout.write(`WARNING! This will remove ${which}.\nAre you sure you want to continue? [y/N] `)
  const { createInterface } = await import('node:readline')
  const lines = createInterface({ input: process.stdin })
  for await (const line of lines) {
    lines.close()
    if (/^y(es)?$/i.test(line.trim())) return true
    break
  }
  process.stdout.write('\nNothing was removed; -f removes without asking.\n')
  process.exitCode = 1
  return false
}

import { join } from 'node:path'

import { isMayflyError } from '../errors.js'
import { changesOf, type Changed } from './changes.js'
import { commitChanges, committedAs } from './commit.js'
import type { Happening } from './events.js'
import type { HandleInput } from './handle-input.js'
import type { Life } from './life.js'
import { settingsOf } from './settings.js'
import { keepSnapshot } from './snapshot.js'
import { startImage } from './start.js'
import type { CommitOptions, CommittedImage, Snapshot, SnapshotOptions, StopOptions } from './types.js'

/** A container of which something is to be kept. */
export interface Source extends Changed, Pick<HandleInput, 'run' | 'image' | 'given'> {
  readonly life: Pick<Life, 'ended' | 'frozen' | 'freeze'>
  /** Stops it as `stop` does, and leaves it there. */
  readonly end: (options: StopOptions) => Promise<void>
  readonly remove: () => Promise<void>
  readonly tell: (what: Happening) => void
}

/** See `Container.snapshot`. */
export async function snapshotOf(source: Source, { live = false, ...options }: SnapshotOptions): Promise<Snapshot> {
  const { run, image, given } = source
  const keep = (directory: string): Promise<Snapshot> => keepSnapshot({ image, options: given, scratch: directory }, options, startImage)
  if (live) {
    const resume = await stand(source)
    await using changes = await changesOf(run, source, { copy: true }).finally(resume)
    return await keep(changes.directory)
  }
  // Whoever cannot be kept is not stopped for it.
  if (source.driver === 'copy') await changesOf(run, source)
  await source.end(options)
  try {
    await using changes = await changesOf(run, source)
    return await keep(changes.directory)
  } finally {
    await source.remove()
  }
}

/** See `Container.commit`. */
export async function commitOf(source: Source, { pause = true, ...options }: CommitOptions): Promise<CommittedImage> {
  const { run, image, given, id } = source
  const resume = pause ? await stand(source).catch(whereItCan) : undefined
  try {
    await using changes = await changesOf(run, source)
    const made = await commitChanges({ image, id, upper: join(changes.directory, 'upper'), config: settingsOf(image, given) }, options)
    source.tell({ kind: 'committed', ...committedAs(made, options) })
    return made
  } finally {
    await resume?.()
  }
}

/** Has it stand still, and answers how it goes on as it did. Throws as `pause` does. */
async function stand({ life }: Source): Promise<() => Promise<void>> {
  if (life.ended || life.frozen) return () => Promise.resolve()
  await life.freeze(true)
  return () => life.freeze(false)
}

function whereItCan(error: unknown): undefined {
  if (isMayflyError(error) && error.code === 'ERR_MAYFLY_LIMIT_UNSUPPORTED') return undefined
  throw error
}

import { randomBytes } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'

import { MayflyError } from '../errors.js'
import { METHOD } from '../native/index.js'
import { Writer } from '../native/bytes.js'
import { removeTree } from '../layers/native.js'
import type { DriverName } from './drivers.js'
import type { Run } from './supervision.js'

/** A directory with `upper` in it: what a container changed of its image, with the marks of the kernel's overlay. */
export interface Changes extends AsyncDisposable {
  readonly directory: string
}

/** Whose they are. */
export interface Changed {
  readonly id: string
  readonly name: string
  /** Where they lie on disk; empty when they are in memory. */
  readonly scratch: string
  readonly driver: DriverName
}

/**
 * A container's changes on disk: where they are, or a copy that goes with disposal: of those in memory, and with `copy` of any. A program
 * that runs may be half-way through writing. Throws ERR_MAYFLY_UNSUPPORTED, ERR_MAYFLY_DISK_FULL.
 */
export async function changesOf(run: Run, { id, name, scratch, driver }: Changed, { copy = false }: { readonly copy?: boolean } = {}): Promise<Changes> {
  if (driver === 'copy') {
    throw new MayflyError('ERR_MAYFLY_UNSUPPORTED', `What ${name} changed is not known: its files are a copy of the image's`, {
      hint: 'Start it with the driver overlay, or fuse-overlayfs.',
    })
  }
  if (scratch !== '' && !copy) return { directory: scratch, [Symbol.asyncDispose]: () => Promise.resolve() }
  const directory = join(run.dir, 'scratch', `${id}-${randomBytes(4).toString('hex')}`)
  const dispose = (): Promise<void> => removeTree(directory)
  await mkdir(directory, { recursive: true, mode: 0o700 })
  try {
    await run.connection.request(METHOD.scratchSave, new Writer().str(id).str(join(directory, 'upper')).str(scratch === '' ? '' : join(scratch, 'upper')).take())
  } catch (error) {
    await dispose()
    throw error
  }
  return { directory, [Symbol.asyncDispose]: dispose }
}

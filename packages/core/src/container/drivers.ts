import { constants, existsSync } from 'node:fs'
import { access } from 'node:fs/promises'
import { delimiter, join } from 'node:path'

import { isMayflyError, MayflyError } from '../errors.js'
import { METHOD } from '../native/index.js'
import { Writer } from '../native/bytes.js'
import type { Rootfs } from '../sandbox/operations.js'
import type { Run } from './supervision.js'

export type DriverName = 'overlay' | 'fuse-overlayfs' | 'copy'

/** How a container's root file system comes from its image's layers. */
export interface Driver {
  readonly name: DriverName
  /** Whether changes can be kept in memory; else they need a directory on disk. */
  readonly inMemory: boolean
  /** The root file system of a container over `layers` (top first), with its changes in `scratch` when that is not empty. */
  /** `size`: of changes in memory, in bytes; 0 for half of it. */
  rootfs(run: Run, id: string, layers: readonly string[], scratch: string, size: number): Promise<Rootfs>
}

/** As many as the kernel takes. [Linux, fs/overlayfs/params.h, OVL_MAX_STACK] */
const OVERLAY_LAYERS = 500

const overlay: Driver = {
  name: 'overlay',
  inMemory: true,
  rootfs: (run, _id, lowers, scratch, size) => lowers.length > OVERLAY_LAYERS
    ? Promise.reject(tooMany(lowers.length))
    : Promise.resolve({ driver: 'overlay', lowers, tmpfsSize: size, userxattr: run.map !== undefined, ...changes(scratch) }),
}

const fuse: Driver = {
  name: 'fuse-overlayfs',
  inMemory: false,
  rootfs: async (run, id, lowers, scratch) => {
    const program = await find('fuse-overlayfs')
    if (program === undefined) throw missing('fuse-overlayfs is not installed')
    const { upper, work } = changes(scratch)
    if ([...lowers, upper].some((path) => /[:,\\]/.test(path))) throw missing('fuse-overlayfs takes no path with a colon or comma')
    const { mkdir } = await import('node:fs/promises')
    await Promise.all([upper, work].map((directory) => mkdir(directory, { recursive: true })))
    const options = `lowerdir=${lowers.join(':')},upperdir=${upper},workdir=${work},fsync=0`
    const fields = new Writer().str(id).u32(HELPER_FUSE)
    fields.list([program, '-f', '-o', options, '/dev/fd/3'], (word) => fields.str(word)).list([], () => undefined)
    await run.connection.request(METHOD.helper, fields.take())
    return { driver: 'fuse-overlayfs' }
  },
}

const copy: Driver = {
  name: 'copy',
  inMemory: false,
  rootfs: (_run, _id, lowers, scratch) => {
    const directory = join(scratch, 'root')
    // One that is started again has its copy already.
    return Promise.resolve({ driver: 'copy', lowers: existsSync(directory) ? [] : lowers, directory })
  },
}

const HELPER_FUSE = 1
/** Fastest first. */
const DRIVERS: readonly Driver[] = [overlay, fuse, copy]

/** The driver that an option or MAYFLY_DRIVER names. Throws ERR_MAYFLY_OPTION_INVALID for another word. */
export function forcedDriver(option: string | undefined): Driver | undefined {
  const word = option ?? process.env['MAYFLY_DRIVER']
  if (word === undefined || word === '') return undefined
  const driver = DRIVERS.find(({ name }) => name === word)
  if (driver !== undefined) return driver
  throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `Invalid driver ${JSON.stringify(word)}: one of ${DRIVERS.map(({ name }) => name).join(', ')}`)
}

/**
 * The driver to try next after one could not give a root file system, or nothing when the failure is of another kind.
 * The mount itself is the probe: what a kernel lists may still be forbidden, as overlay on overlay is.
 */
export function driverAfter(driver: Driver, error: unknown): Driver | undefined {
  if (!isMayflyError(error)) return undefined
  const { operation, step } = error.details
  const failed = (operation === 'rootfs' && String(step).includes('overlay')) || operation === 'rootfs.fuse' || operation === 'helper' ||
    error.details['driver'] === driver.name
  return failed ? DRIVERS[DRIVERS.indexOf(driver) + 1] : undefined
}

/** The first driver of all. */
export const fastestDriver = overlay

function changes(scratch: string): { upper: string; work: string } {
  return scratch === '' ? { upper: '', work: '' } : { upper: join(scratch, 'upper'), work: join(scratch, 'work') }
}

/** No next driver: the others would get the whole run for one image's sake. */
function tooMany(count: number): MayflyError {
  return new MayflyError('ERR_MAYFLY_UNSUPPORTED', `The driver overlay takes at most ${String(OVERLAY_LAYERS)} layers, and this image has ${String(count)}`, {
    hint: 'driver: \'copy\' (MAYFLY_DRIVER=copy) takes any number, and copies all files at each start.', details: { layers: count },
  })
}

function missing(why: string): MayflyError {
  return new MayflyError('ERR_MAYFLY_UNSUPPORTED', `The driver fuse-overlayfs cannot be used: ${why}`, { details: { driver: 'fuse-overlayfs' } })
}

async function find(program: string): Promise<string | undefined> {
  for (const directory of (process.env['PATH'] ?? '/usr/bin:/bin').split(delimiter)) {
    const path = join(directory, program)
    if (directory.startsWith('/') && await access(path, constants.X_OK).then(() => true, () => false)) return path
  }
  return undefined
}

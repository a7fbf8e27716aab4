import { randomBytes } from 'node:crypto'

import type { Image } from '../images/index.js'
import { encodeCreate, METHOD } from '../native/index.js'
import { Writer } from '../native/bytes.js'
import { addMounts } from '../sandbox/mounts.js'
import { NAMESPACES, Operations } from '../sandbox/operations.js'
import { forcedDriver } from './drivers.js'
import { keptDirectory, type KeptContainer } from './kept.js'
import { currentRun } from './supervision.js'

/** The files of a container that does not run, mounted as they are while it does. */
export interface OpenFiles extends AsyncDisposable {
  /** What the supervisor calls them; they are no container of anybody's list. */
  readonly id: string
  readonly run: string
}

/** Opens them until disposal. Nobody may start the container meanwhile. Throws ERR_MAYFLY_OPTION_INVALID. */
export async function openFiles(image: Image, { id: container, driver, options }: KeptContainer): Promise<OpenFiles> {
  const run = await currentRun()
  const id = randomBytes(32).toString('hex')
  const directory = keptDirectory(container)
  const chosen = forcedDriver(driver ?? options.driver) ?? run.driver
  const { mounts } = await (await import('./binds.js')).resolveMounts(options, image.config.Volumes, `${directory}/own`)
  if (chosen.name === 'overlay') await (await import('../layers/index.js')).removeTree(`${directory}/work`).catch(() => undefined)
  const list = new Operations().rootfs(await chosen.rootfs(run, id, image.layers, directory, 0))
  addMounts(list, { mounts })
  const request = encodeCreate({
    id, flags: 0, namespaces: NAMESPACES.mount | NAMESPACES.pid, pidOf: '', label: new Uint8Array(), scratch: '', cgroup: [], logCap: 0,
    operations: list.pivot({ readonly: false, nodev: true }).await(),
  })
  const close = async (): Promise<void> => {
    if (!run.connection.lost) await run.connection.request(METHOD.remove, new Writer().str(id).take()).catch(() => undefined)
  }
  try {
    await run.connection.request(METHOD.create, request)
  } catch (error) {
    await close()
    throw error
  }
  return { id, run: run.id, [Symbol.asyncDispose]: close }
}

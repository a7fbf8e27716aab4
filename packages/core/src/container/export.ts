import { randomBytes } from 'node:crypto'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'

import { encodeCreate, METHOD } from '../native/index.js'
import { Writer } from '../native/bytes.js'
import { NAMESPACES, Operations } from '../sandbox/operations.js'
import { changesDirectory } from './diff.js'
import { driverAfter, forcedDriver } from './drivers.js'
import { keptDirectory } from './kept.js'
import type { RunningListing } from './runs.js'
import { currentRun, type Run } from './supervision.js'

/**
 * All files of a container as a tar: its image's with what it changed, and nothing of what is mounted there. It may run
 * meanwhile. Throws ERR_MAYFLY_UNSUPPORTED.
 */
export async function exportContainer(container: RunningListing, use: (tar: Readable) => Promise<void>): Promise<void> {
  const copied = container.kept?.driver === 'copy'
  const changes = copied ? { directory: join(keptDirectory(container.id), 'root'), done: () => Promise.resolve() } : await changesDirectory(container)
  const run = await currentRun()
  const id = randomBytes(32).toString('hex')
  const scratch = join(run.dir, 'scratch', id)
  try {
    await mounted(run, id, scratch, copied ? [changes.directory] : [changes.directory, ...container.stack.map(({ directory }) => directory)])
    const { archiveOf } = await import('./copy.js')
    await use(await archiveOf({ connection: run.connection, id, name: container.name, accounts: () => Promise.resolve(['', '']) }, '/.'))
  } finally {
    if (!run.connection.lost) await run.connection.request(METHOD.remove, new Writer().str(id).take()).catch(() => undefined)
    await rm(scratch, { recursive: true, force: true }).catch(() => undefined)
    await changes.done()
  }
}

/** The layers on one another, by the first driver that can. */
async function mounted(run: Run, id: string, scratch: string, layers: readonly string[]): Promise<void> {
  for (let driver = forcedDriver(undefined) ?? run.driver; ;) {
    try {
      if (!driver.inMemory) await mkdir(scratch, { recursive: true, mode: 0o700 })
      const operations = new Operations().rootfs(await driver.rootfs(run, id, layers, driver.inMemory ? '' : scratch, 0)).pivot({ readonly: true, nodev: true }).await()
      await run.connection.request(METHOD.create, encodeCreate({
        id, flags: 0, namespaces: NAMESPACES.mount | NAMESPACES.pid, pidOf: '', label: new Uint8Array(), scratch: '', cgroup: [], logCap: 0, operations,
      }))
      return
    } catch (error) {
      const next = driverAfter(driver, error)
      if (next === undefined) throw error
      driver = next
    }
  }
}

import { mkdir, readdir, readFile, rename } from 'node:fs/promises'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'

import type { Digest } from '../digest.js'
import { claimHome, defaultHome, writeAtomically } from '../images/store.js'
import type { DriverName } from './drivers.js'
import type { Health } from './health-types.js'
import type { Label } from './label.js'
import type { RestartPolicy } from './restart.js'
import type { RunOptions } from './types.js'

/**
 * A container of the background run as the store keeps it until it is removed: its settings, how it ended, and beside
 * this record its changes (`upper`) and what it printed (`log.N` of its Nth life). Written by the keeper alone.
 */
export interface KeptContainer {
  readonly version: 1
  readonly id: string
  readonly name: string
  /** As it was named when the container was made; `digest` is the manifest it is made from ever after. */
  readonly image: string
  readonly digest: Digest
  readonly options: RunOptions
  /** Names of networks; the first is the main one. */
  readonly networks: readonly string[]
  /** Taken away when it ends. */
  readonly remove: boolean
  readonly restart: RestartPolicy
  /** Milliseconds. */
  readonly stopTimeout?: number | undefined
  /** What those who did not make it are told of it. */
  readonly label: Partial<Label>
  /** Milliseconds since 1970, as all times here. */
  readonly createdAt: number
  /** How often it was started. */
  readonly life: number
  readonly startedAt?: number | undefined
  readonly ended?: KeptEnd | undefined
  /** Somebody stopped it, so it is not started again by itself. */
  readonly stopped: boolean
  /** How often it was started again by its policy. */
  readonly restarts: number
  /** The keeper that is about to start it again. */
  readonly restarting?: number | undefined
  /** What its checks said last, in its present life. */
  readonly health?: Health | undefined
  /** How its root file system is made; known after the first start. */
  readonly driver?: DriverName | undefined
}

export interface KeptEnd {
  readonly at: number
  /** 128 + the signal when a signal ended it. */
  readonly code: number
  readonly signal?: string | undefined
  readonly oomKilled: boolean
  /** Why it could not start. */
  readonly error?: string | undefined
}

const RECORD = 'container.json'

export function keptDirectory(id: string, home: string = defaultHome()): string {
  return join(home, 'containers', id)
}

/** Throws ERR_MAYFLY_STORE_FAILED. */
export async function writeKept(record: KeptContainer): Promise<void> {
  claimHome()
  await mkdir(keptDirectory(record.id), { recursive: true, mode: 0o700 })
  await writeAtomically(join(keptDirectory(record.id), RECORD), JSON.stringify(record))
}

/** What this user's background runs have kept; unreadable ones are left out. */
export async function listKept(home: string = defaultHome()): Promise<KeptContainer[]> {
  const ids = await readdir(join(home, 'containers')).catch(() => [])
  const found = await Promise.all(ids.filter((id) => /^[0-9a-f]{64}$/.test(id)).map(async (id) => {
    try {
      return JSON.parse(await readFile(join(keptDirectory(id, home), RECORD), 'utf8')) as KeptContainer
    } catch {
      return undefined
    }
  }))
  return found.filter((one) => one !== undefined)
}

/** Forgets a container with all that is its own. */
export async function discardKept(id: string): Promise<void> {
  const trash = join(defaultHome(), 'trash')
  const aside = join(trash, `container-${randomBytes(6).toString('hex')}`)
  await mkdir(trash, { recursive: true, mode: 0o700 })
  await rename(keptDirectory(id), aside)
  const { removeTree } = await import('../layers/native.js')
  await removeTree(aside)
}

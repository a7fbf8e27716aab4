import { createHash } from 'node:crypto'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import type { Digest } from '../digest.js'
import { lockFile, tryLockFile } from '../layers/lock.js'
import type { Store } from './store.js'

/** What those who wait for a pull can show of it. */
export interface PulledLayer {
  readonly digest: Digest
  readonly size: number
}

/** The first one's turn, among all processes that pull the same at the same time. */
export interface Turn extends AsyncDisposable {
  /** Lets the others know what they wait for. */
  show(layers: readonly PulledLayer[]): Promise<void>
}

/**
 * The turn to pull what `key` names, or, when another process has it, nothing once that one has ended, whatever came of it: then
 * all who waited go on at once. Throws ERR_MAYFLY_ABORTED, ERR_MAYFLY_NATIVE_FAILED.
 */
export async function takeTurn(store: Store, key: string, waitsFor: (layers: readonly PulledLayer[]) => void, signal: AbortSignal): Promise<Turn | undefined> {
  const file = join(store.home, 'locks', `pull-${createHash('sha256').update(key).digest('hex')}`)
  const lock = await tryLockFile(file, signal)
  if (lock === undefined) {
    const layers = await shownIn(file)
    if (layers !== undefined) waitsFor(layers)
    await (await lockFile(file, signal, { shared: true })).release()
    return undefined
  }
  return {
    show: (layers) => writeFile(file, JSON.stringify(layers.map(({ digest, size }) => ({ digest, size })))).catch(() => undefined),
    [Symbol.asyncDispose]: async () => {
      await rm(file, { force: true })
      await lock.release()
    },
  }
}

async function shownIn(file: string): Promise<readonly PulledLayer[] | undefined> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as readonly PulledLayer[]
  } catch {
    return undefined
  }
}

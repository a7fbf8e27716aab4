import { randomBytes } from 'node:crypto'
import { appendFileSync, existsSync } from 'node:fs'
import { appendFile, rm } from 'node:fs/promises'
import { join, relative } from 'node:path'

import type { Digest } from '../digest.js'
import { lockFile } from '../layers/lock.js'
import type { Image } from './image.js'
import { storeFailed, type Store } from './store.js'

/**
 * Keeps parts of the store from being collected while nothing else refers to them: of a pull under way, of an image being
 * built. Held by a lock, so that the kernel ends it with its process.
 */
export interface Lease extends AsyncDisposable {
  /**
   * From now on these are kept: blobs, layers by diffId or chainId; of a manifest everything it names. What is looked for in
   * the store afterwards either stays or is not there. Throws ERR_MAYFLY_STORE_FAILED, ERR_MAYFLY_ABORTED.
   */
  hold(...digests: readonly Digest[]): Promise<void>
  release(): Promise<void>
}

/** Opens a lease on nothing yet. Throws ERR_MAYFLY_ABORTED, ERR_MAYFLY_NATIVE_FAILED. */
export async function openLease(store: Store, signal?: AbortSignal): Promise<Lease> {
  const file = join(store.home, 'leases', randomBytes(8).toString('hex'))
  const lock = await lockFile(file, signal)
  const held = new Set<Digest>()
  const release = async (): Promise<void> => {
    await rm(file, { force: true })
    await lock.release()
  }
  return {
    hold: async (...digests) => {
      const fresh = digests.filter((digest) => !held.has(digest))
      if (fresh.length === 0) return
      await appendFile(file, fresh.map((digest) => `${digest}\n`).join(''), { mode: 0o600 })
        .catch((cause: unknown) => { throw storeFailed('Cannot write a lease of the image store', cause) })
      for (const digest of fresh) held.add(digest)
      await sweepOver(store.home, signal)
    },
    release,
    [Symbol.asyncDispose]: release,
  }
}

const leased = new Set<string>()

/**
 * Keeps an image's layers for as long as the run lives whose directory this is, and says whether they are all there.
 * Costs a file written for the first container of an image in a run, and nothing for later ones.
 */
export async function leaseForRun(home: string, directory: string, image: Pick<Image, 'digest' | 'layers'>): Promise<boolean> {
  const lines = [image.digest, ...image.layers.map((layer) => relative(home, layer))].map((line) => `${line}\n`).join('')
  const key = `${directory}\0${lines}`
  if (leased.has(key)) return true
  try {
    appendFileSync(join(directory, LEASES_OF_RUN), lines, { mode: 0o600 })
  } catch (cause) {
    // A run whose directory is gone is lost, as whoever talks to it will say.
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return true
    throw storeFailed('Cannot write the leases of a run', cause)
  }
  await sweepOver(home)
  if (!image.layers.every((layer) => existsSync(layer))) return false
  leased.add(key)
  return true
}

/** In a run's directory. */
export const LEASES_OF_RUN = 'leases'

/** There while a collector reads leases and takes away what none of them names. */
export function sweepMark(home: string): string {
  return join(home, 'sweeping')
}

/** Held by one collector at a time. */
export function sweepLock(home: string): string {
  return join(home, 'sweep.lock')
}

/**
 * Waits out a collector that may have read the leases before this one was written. Whoever writes a lease first, then
 * waits here, then looks into the store, sees what stays.
 */
async function sweepOver(home: string, signal?: AbortSignal): Promise<void> {
  while (existsSync(sweepMark(home))) {
    const lock = await lockFile(sweepLock(home), signal, { shared: true })
    // Nobody sweeps now: if it is still there, its collector was killed.
    await rm(sweepMark(home), { force: true })
    await lock.release()
  }
}

import { readFile, utimes } from 'node:fs/promises'
import { join } from 'node:path'

import { isDigest, type Digest } from '../digest.js'
import { writeAtomically, type Store } from '../images/index.js'

/** A layer that an earlier build made. */
export interface CachedLayer {
  readonly diffId: Digest
  /** The diffId; in records of earlier versions that of a compressed form. */
  readonly digest: Digest
  /** Bytes of what has this digest. */
  readonly size: number
  /** The chain it was made on: it is unpacked under this name, or its own. */
  readonly chainId: Digest
  /** Milliseconds since 1970. */
  readonly createdAt: number
}

/** What a step made, kept from build to build by what the step depends on. */
export interface BuildCache {
  find(key: string): Promise<CachedLayer | undefined>
  keep(key: string, layer: CachedLayer): Promise<void>
}

export function openCache(store: Store): BuildCache {
  const path = (key: string): string => join(store.home, 'build', `${key}.json`)
  return {
    find: async key => {
      const record = await readFile(path(key), 'utf8').then(text => JSON.parse(text) as Partial<CachedLayer>, () => undefined)
      const { diffId, digest, chainId, size, createdAt } = record ?? {}
      if (!isDigest(diffId) || !isDigest(digest) || !isDigest(chainId) || typeof size !== 'number' || typeof createdAt !== 'number') return undefined
      // The time of the record says when the step was last used: it is kept for a while from then.
      const now = new Date()
      await utimes(path(key), now, now).catch(() => undefined)
      return { diffId, digest, size, chainId, createdAt }
    },
    keep: (key, layer) => writeAtomically(path(key), JSON.stringify(layer)),
  }
}

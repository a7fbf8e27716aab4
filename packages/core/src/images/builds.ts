import { readdir, stat, unlink } from 'node:fs/promises'
import { join } from 'node:path'

import { collectGarbage, type Garbage } from './gc.js'
import { absent, type Store } from './store.js'

/** Forgets steps of builds that were not used for so many milliseconds, and removes what nothing else leads to. */
export async function pruneBuilds(store: Store, { unusedFor = 0 }: { readonly unusedFor?: number | undefined } = {}): Promise<Garbage> {
  const directory = join(store.home, 'build')
  const before = Date.now() - unusedFor
  for (const name of await readdir(directory).catch(absent([]))) {
    const path = join(directory, name)
    const used = name.endsWith('.json') ? (await stat(path).catch(absent(undefined)))?.mtimeMs : undefined
    if (used !== undefined && used <= before) await unlink(path).catch(absent(undefined))
  }
  return collectGarbage(store)
}

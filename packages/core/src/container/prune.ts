import { execFile } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

import { MayflyError } from '../errors.js'
import { defaultHome } from '../images/index.js'
import { enterWords, nativeBinary } from '../native/index.js'

/**
 * Finishes what dead runs left: cgroups, scratch, directories. Live runs are not touched. Answers the ids of those that
 * are gone. Throws ERR_MAYFLY_STORE_FAILED.
 */
export async function prune(home: string = defaultHome()): Promise<string[]> {
  const directory = join(home, 'runs')
  const before = await runsIn(directory)
  if (before.length === 0) return []
  try {
    await promisify(execFile)(nativeBinary(), [...enterWords(), 'gc', directory])
  } catch (cause) {
    throw new MayflyError('ERR_MAYFLY_STORE_FAILED', `What dead runs left under ${directory} cannot all be removed`, { cause })
  }
  const after = new Set(await runsIn(directory))
  return before.filter((id) => !after.has(id))
}

async function runsIn(directory: string): Promise<string[]> {
  return await readdir(directory).catch(() => [])
}

import { execFile } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

import { MayflyError } from '../errors.js'
import { defaultHome } from '../images/index.js'
import { enterWords, METHOD, nativeBinary } from '../native/index.js'
import { connectRun, listRuns } from './runs.js'

/**
 * Finishes what dead runs left: cgroups, scratch, directories; and ends those that MAYFLY_KEEP had stay. Other live runs are not touched. Answers the ids of those that
 * are gone. Throws ERR_MAYFLY_STORE_FAILED.
 */
export async function prune(home: string = defaultHome()): Promise<string[]> {
  const directory = join(home, 'runs')
  await endKept(home)
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

/** Those that stay for somebody to look into (MAYFLY_KEEP) are ended. */
async function endKept(home: string): Promise<void> {
  await Promise.all((await listRuns(home)).filter(({ file }) => file.kept === true).map(async ({ file }) => {
    const connection = await connectRun(file).catch(() => undefined)
    await connection?.request(METHOD.shutdown).catch(() => undefined)
    connection?.close()
  }))
}

async function runsIn(directory: string): Promise<string[]> {
  return await readdir(directory).catch(() => [])
}

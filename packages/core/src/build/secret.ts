import { chmod, chown, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { tmpdir } from 'node:os'

import { MayflyError } from '../errors.js'
import type { BuildOptions } from './types.js'

/** Docker's limit, so that a build that works here works there. */
const LARGEST = 500 * 1024

/** Where secrets lie as files while a RUN reads them: in memory where the machine has a place for it, and never in the store. */
export interface SecretFiles {
  /** Writes one, to be mounted; gives its path. */
  write(content: Buffer | string, rights: { readonly mode: number; readonly uid: number; readonly gid: number }): Promise<string>
  close(): Promise<void>
}

export function openSecretFiles(): SecretFiles {
  let directory: Promise<string> | undefined
  let last = 0
  return {
    write: async (content, { mode, uid, gid }) => {
      directory ??= makeDirectory()
      last += 1
      const file = join(await directory, String(last))
      await writeFile(file, content, { mode: 0o600, flag: 'wx' })
      await chmod(file, mode)
      if (process.geteuid?.() === 0) await chown(file, uid, gid)
      return file
    },
    close: async () => {
      if (directory !== undefined) await rm(await directory, { recursive: true, force: true })
    },
  }
}

const NAME = /^mayfly-secrets-(\d+)-/

/** A build that was killed leaves its own behind: the next one takes it away. */
async function makeDirectory(): Promise<string> {
  const place = await stat('/dev/shm').then(found => (found.isDirectory() ? '/dev/shm' : tmpdir()), () => tmpdir())
  for (const name of await readdir(place)) {
    const pid = NAME.exec(name)?.[1]
    // Another user's cannot be removed, and need not be.
    if (pid !== undefined && !isAlive(Number(pid))) await rm(join(place, name), { recursive: true, force: true }).catch(() => undefined)
  }
  return await mkdtemp(join(place, `mayfly-secrets-${String(process.pid)}-`))
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** A secret's content, or undefined when none was given. Throws ERR_MAYFLY_OPTION_INVALID. */
export async function secretOf({ secrets }: Pick<BuildOptions, 'secrets'>, id: string): Promise<Buffer | string | undefined> {
  const given = secrets !== undefined && Object.hasOwn(secrets, id) ? secrets[id] : undefined
  if (given === undefined) return undefined
  if ('value' in given) return given.value
  if ('env' in given) return process.env[given.env]
  const size = await stat(given.file).then(({ size: bytes }) => bytes, (cause: unknown) => {
    throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `The file of the secret "${id}" cannot be read: ${given.file}`, { cause })
  })
  if (size > LARGEST) throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', `The secret "${id}" has ${String(size)} bytes; at most 500 KiB are allowed`)
  return await readFile(given.file)
}

import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

let count = 0

/**
 * A new ext4 in a file: one on which much was deleted makes files ten times slower, for minutes. `around` is done with its directory.
 * @template T @param {string} scratch @param {(directory: string) => Promise<T>} around @returns {Promise<T>}
 */
export async function onFreshFilesystem(scratch, around) {
  const file = join(scratch, `filesystem-${count += 1}`)
  const directory = `${file}.mounted`
  writeFileSync(file, '')
  truncateSync(file, 8 * 2 ** 30)
  mkdirSync(directory)
  execFileSync('mkfs.ext4', ['-q', '-F', '-E', 'nodiscard,lazy_itable_init=1', file])
  execFileSync('mount', ['-o', 'loop,noinit_itable', file, directory])
  try {
    return await around(directory)
  } finally {
    unmount(directory)
    rmSync(directory, { recursive: true })
    rmSync(file)
  }
}

/** What a daemon mounted below it as well. */
function unmount(directory) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      execFileSync('umount', ['-R', directory], { stdio: 'pipe' })
      return
    } catch (error) {
      if (attempt === 50) throw error
      execFileSync('sleep', ['0.1'])
    }
  }
}

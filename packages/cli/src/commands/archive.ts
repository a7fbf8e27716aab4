import { createReadStream, createWriteStream } from 'node:fs'
import { rm, stat } from 'node:fs/promises'

import { interruptible } from '../interrupt.js'
import { hasBars, openProgress } from '../progress.js'
import { showPull } from '../pull-progress.js'

/** Writes images as an archive, to a file or to standard output. */
export async function save(names: readonly string[], { output }: { readonly output?: string }): Promise<void> {
  const { MayflyError, openStore, saveImages } = await import('@mayfly/core/engine')
  if (output === undefined && process.stdout.isTTY) {
    throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', 'An archive is nothing for a terminal', { hint: 'Write it to a file with -o, or through a pipe.' })
  }
  const store = await openStore()
  if (output === undefined) return saveImages(store, names, process.stdout)
  try {
    await saveImages(store, names, createWriteStream(output, { mode: 0o600 }))
  } catch (error) {
    // A part of an archive must not look like one.
    if (await stat(output).then((found) => found.isFile(), () => false)) await rm(output, { force: true })
    throw error
  }
}

/** Reads images from an archive: a file, an OCI layout in a directory, or standard input. */
export async function load({ input, quiet }: { readonly input?: string, readonly quiet?: boolean }): Promise<void> {
  const { loadImages, MayflyError, openStore, withTag } = await import('@mayfly/core/engine')
  if (input === undefined && process.stdin.isTTY) {
    throw new MayflyError('ERR_MAYFLY_OPTION_INVALID', 'There is no archive to load', { hint: 'Name it with -i, or send it through a pipe.' })
  }
  await interruptible(async (signal) => {
    // Where there is no terminal, Docker says no more than what was loaded.
    const progress = openProgress({ quiet: quiet === true || !hasBars(process.stderr) })
    try {
      const loaded = await loadImages(await openStore(), await source(input), { signal, onProgress: showPull(progress, 'load') })
      progress.end()
      for (const { id, names } of loaded) {
        for (const name of names) process.stdout.write(quiet === true ? `${withTag(name.familiar)}\n` : `Loaded image: ${withTag(name.familiar)}\n`)
        if (names.length === 0) process.stdout.write(quiet === true ? `${id}\n` : `Loaded image ID: ${id}\n`)
      }
    } finally {
      progress.end()
    }
  })
}

async function source(input: string | undefined): Promise<AsyncIterable<Buffer> | string> {
  if (input === undefined) return process.stdin as AsyncIterable<Buffer>
  const found = await stat(input).catch(async (cause: unknown) => {
    const { MayflyError } = await import('@mayfly/core/engine')
    throw new MayflyError('ERR_MAYFLY_ARCHIVE_INVALID', `Cannot open ${input}: ${(cause as NodeJS.ErrnoException).code ?? ''}`, { cause })
  })
  return found.isDirectory() ? input : createReadStream(input, { highWaterMark: 256 * 1024 }) as AsyncIterable<Buffer>
}

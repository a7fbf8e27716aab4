import { pipeline } from 'node:stream/promises'
import { stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

import { invalid } from '../action.js'
import { withFiles } from '../files.js'

interface Flags {
  readonly archive?: boolean
  readonly followLink?: boolean
  readonly quiet?: boolean
}

/** `CONTAINER:PATH` of one side, a path or `-` of the other. */
export async function cp(source: string, target: string, { archive, followLink }: Flags): Promise<void> {
  const { findContainer } = await import('@mayfly/core/engine')
  const [from, to] = [inContainer(source), inContainer(target)]
  if (from !== undefined && to !== undefined) throw invalid('Copying between containers is not supported', 'Copy to this machine first, or through a pipe: mayfly cp A:/x - | mayfly cp - B:/')
  if (from === undefined && to === undefined) throw invalid('Neither side is in a container', 'Write it as CONTAINER:PATH.')
  const options = { archive: archive === true, follow: followLink === true, parents: false }
  if (to !== undefined) {
    return withFiles(await findContainer(to.container), async (files) => {
      if (source === '-') await files.copyIn({ tar: process.stdin }, to.path, options)
      else await files.copyIn(source, to.path, options)
    })
  }
  const { container, path } = from ?? { container: '', path: '' }
  await withFiles(await findContainer(container), async (files) => {
    if (target !== '-') return await files.copyOut(path, await placeFor(path, target), options)
    if (process.stdout.isTTY) throw invalid('A tar is nothing for a terminal', 'Send it through a pipe, or to a file.')
    await pipeline(await files.archive(path, options), process.stdout)
  })
}

/** `mayfly export`: all of a container's files as a tar, nothing of what is mounted there. */
export async function exportFiles(which: string, { output }: { readonly output?: string }): Promise<void> {
  const { createWriteStream } = await import('node:fs')
  const { endRun, exportContainer, findContainer } = await import('@mayfly/core/engine')
  if (output === undefined && process.stdout.isTTY) throw invalid('An archive is nothing for a terminal', 'Write it to a file with -o, or through a pipe.')
  try {
    await exportContainer(await findContainer(which), async (tar) => {
      await pipeline(tar, output === undefined ? process.stdout : createWriteStream(output, { mode: 0o600 }))
    })
  } finally {
    await endRun()
  }
}

/** A path of this machine that begins with a dot or a slash is none of a container's, whatever colons it has. */
function inContainer(text: string): { readonly container: string, readonly path: string } | undefined {
  const at = text.indexOf(':')
  if (at < 1 || text.startsWith('.') || text.startsWith('/')) return undefined
  const path = text.slice(at + 1)
  // As Docker has it, paths count from the root.
  return { container: text.slice(0, at), path: path.startsWith('/') ? path : `/${path}` }
}

/** Docker makes the last part of the target, and nothing above it. */
async function placeFor(source: string, target: string): Promise<string> {
  const found = await stat(target).catch(() => undefined)
  if (found?.isDirectory() === true || target.endsWith('/')) return target
  const above = await stat(dirname(join(target, '.'))).catch(() => undefined)
  if (above?.isDirectory() !== true) throw invalid(`There is no directory ${dirname(target)}`, `Make it first, for ${basename(source)} to come into it.`)
  return target
}

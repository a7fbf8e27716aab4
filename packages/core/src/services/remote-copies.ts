import { randomBytes } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { CopyInOptions, CopyOptions, CopySource } from '../container/types.js'
import type { Lease } from './client.js'

/* The worker's side of copies: the run host reads and writes files of the same machine. */

/** What a copy comes from, as it crosses the wire: a path, or the path of a file that has it. */
export type WireCopySource = string | { readonly content: { readonly file: string } } | { readonly tar: { readonly file: string } }

/** See `Container.copyIn`. Paths are of this process's own directory. */
export async function copyInto(lease: Lease, source: CopySource, target: string, { signal, ...options }: CopyInOptions = {}): Promise<void> {
  if (typeof source === 'string') return void (await lease.call('copyIn', [localPath(source), target, options], signal))
  const directory = await mkdtemp(join(tmpdir(), 'mayfly-copy-'))
  const file = join(directory, randomBytes(4).toString('hex'))
  try {
    const [kind, bytes] = 'tar' in source ? ['tar', source.tar] as const : ['content', source.content] as const
    const pieces = typeof bytes === 'string' || bytes instanceof Uint8Array ? Readable.from([bytes]) : Readable.from(bytes)
    await pipeline(pieces, createWriteStream(file, { mode: 0o600 }), { signal })
    await lease.call('copyIn', [{ [kind]: { file } }, target, options], signal)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

/** See `Container.copyOut`. */
export async function copyFrom(lease: Lease, source: string, target: string, { signal, ...options }: CopyOptions = {}): Promise<void> {
  await lease.call('copyOut', [source, localPath(target), options], signal)
}

/** See `Container.archive`. */
export async function archiveOf(lease: Lease, source: string, { signal, ...options }: CopyOptions = {}): Promise<Readable> {
  const pieces = lease.stream('archive', [source, options])
  // What is wrong from the beginning is the call's own failure.
  const first = await pieces.next()
  const stream = Readable.from((async function* bytes() {
    try {
      for (let piece = first; piece.done !== true; piece = await pieces.next()) yield Buffer.from(piece.value as string, 'base64')
    } finally {
      await pieces.return(undefined)
    }
  })(), { objectMode: false })
  signal?.addEventListener('abort', () => { stream.destroy(signal.reason as Error) }, { once: true })
  return stream
}

/** A last "/." is a word of the copy's own. */
function localPath(path: string): string {
  return `${resolve(path)}${/\/\.?$/.test(path) ? path.slice(path.lastIndexOf('/')) : ''}`
}

import { spawn, type ChildProcessByStdio } from 'node:child_process'
import type { Readable } from 'node:stream'

import { digestFromHex, type Digest } from '../digest.js'
import { MayflyError } from '../errors.js'
import { nativeBinary } from '../native/binary.js'
import { enterWords } from '../native/privilege.js'
import { recordedOwners } from './native.js'

export interface LayerSource {
  /** The upper directory of a stopped container, or a whole tree. */
  readonly directory: string
  /** What it lies over, top first. Entries that are as they are there are left out. */
  readonly lowers: readonly string[]
  /** Paths without a leading slash that do not belong into it, such as mount points. */
  readonly skip?: readonly string[] | undefined
  /** Seconds since 1970: no time in it is later. */
  readonly latest?: number | undefined
  /** Whether all files belong into it, also those that look as they do in the layers below: they were put there, and not copied up. */
  readonly whole?: boolean | undefined
}

/** A layer's tar, which nobody keeps: its files say all that is in it. */
export interface MeasuredLayer {
  /** Digest and bytes of the tar. */
  readonly diffId: Digest
  readonly size: number
  /** Bytes of its files. */
  readonly files: number
  /** Whether it has no entry at all. */
  readonly empty: boolean
  /** Directories that hide what the layers below have under their names. */
  readonly opaque: readonly string[]
}

export interface CompressedLayer {
  readonly diffId: Digest
  /** Digest and bytes of its compressed form. */
  readonly digest: Digest
  readonly size: number
}

/**
 * A directory as the tar of a layer: whiteouts only for what the layers below have, sorted, so that the same change gives
 * the same bytes. `done` answers its opaque directories. [OCI image specification, "Creating layers"]
 */
export function layerTar(source: LayerSource): { readonly tar: Readable; readonly done: Promise<readonly string[]> } {
  const { child, done } = start(source, [])
  const opaque = done.then(opaqueIn)
  opaque.catch(() => undefined)
  return { tar: child.stdout, done: opaque }
}

/** What a directory's layer is called and takes. */
export async function measureLayer(source: LayerSource): Promise<MeasuredLayer> {
  const { report, trouble } = await told(source, ['--digest'])
  const { digest, size } = lineOf(report, 'plain')
  return { diffId: digest, size, files: Number(/^files (\d+)$/m.exec(report)?.[1] ?? 0), empty: size === NOTHING, opaque: opaqueIn(trouble) }
}

/**
 * Writes a directory as a compressed layer into a file that is not there yet: quickly rather than well, and the same bytes for the
 * same layer on every machine. The file is whole, or there is an error.
 */
export async function compressLayer(source: LayerSource, file: string, signal?: AbortSignal): Promise<CompressedLayer> {
  const { report } = await told(source, ['--gzip', file], signal)
  return { diffId: lineOf(report, 'plain').digest, ...lineOf(report, 'gzip') }
}

/** Bytes of a tar that has nothing in it. */
export const NOTHING = 1024

async function told(source: LayerSource, words: readonly string[], signal?: AbortSignal): Promise<{ readonly report: string; readonly trouble: string }> {
  const { child, done } = start(source, words, signal)
  let report = ''
  child.stdout.on('data', (chunk: Buffer) => void (report += chunk.toString()))
  return { trouble: await done, report }
}

function lineOf(report: string, word: string): { readonly digest: Digest; readonly size: number } {
  const [, hex = '', size] = new RegExp(`^${word} ([0-9a-f]{64}) (\\d+)$`, 'm').exec(report) ?? []
  return { digest: digestFromHex(hex), size: Number(size) }
}

function opaqueIn(trouble: string): readonly string[] {
  return [...trouble.matchAll(/^opaque (.*)$/gm)].map(([, path = '']) => path)
}

function start({ directory, lowers, skip = [], latest, whole }: LayerSource, form: readonly string[], signal?: AbortSignal): { readonly child: ChildProcessByStdio<null, Readable, Readable>; readonly done: Promise<string> } {
  const words = ['tar', '--layer', ...whole === true ? ['--whole'] : [], ...form, ...recordedOwners(), ...skip.flatMap(path => ['--skip', path]), ...(latest === undefined ? [] : ['--latest', String(latest)]), directory, ...lowers]
  const child = spawn(nativeBinary(), [...enterWords(), ...words], { stdio: ['ignore', 'pipe', 'pipe'], signal, killSignal: 'SIGKILL' })
  let trouble = ''
  child.stderr.on('data', (chunk: Buffer) => void (trouble += chunk.toString()))
  const done = new Promise<string>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, name) => {
      if (code === 0) resolve(trouble)
      else reject(failed(directory, trouble.trim() || name || `status ${String(code)}`))
    })
  })
  done.catch(() => undefined)
  return { child, done }
}

function failed(directory: string, why: string): MayflyError {
  return new MayflyError('ERR_MAYFLY_STORE_FAILED', `${directory} cannot be made a layer: ${why}`, { hint: /: (?:ENOSPC|EDQUOT)$/m.test(why) ? 'The disk is full.' : undefined })
}

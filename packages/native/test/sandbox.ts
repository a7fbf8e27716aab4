import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { nativeBinary } from '../index.js'

export interface Outcome {
  readonly status: number | null
  readonly out: string
  readonly err: string
}

/** A directory with an empty layer and, beside it, a secret no archive may reach. */
export interface Sandbox {
  readonly root: string
  readonly layer: string
  readonly secret: string
  untar(input: Buffer, ...options: readonly string[]): Outcome
  remove(): void
}

export function sandbox(): Sandbox {
  const root = mkdtempSync(join(tmpdir(), 'mayfly-untar-'))
  const layer = join(root, 'layer')
  const secret = join(root, 'secret')
  mkdirSync(layer)
  writeFileSync(secret, 'secret', { mode: 0o600 })
  return {
    root,
    layer,
    secret,
    untar: (input, ...options) => native(['untar', ...options, layer], input),
    remove: () => { rmSync(root, { recursive: true, force: true }) },
  }
}

export function native(args: readonly string[], input: Buffer | string = ''): Outcome {
  const { status, stdout, stderr } = spawnSync(nativeBinary(), args, { input, encoding: 'utf8' })
  return { status, out: stdout, err: stderr }
}

import { spawn, type ChildProcessByStdio } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'

import { collectGarbage, openStore, verifyStore } from '../../packages/core/src/images/index.js'
import { tar, type Entry } from '../../packages/core/test/images/fixture.js'

const puller = fileURLToPath(new URL('puller.mjs', import.meta.url))

/** Another process that is ready to pull. */
export interface Puller {
  /** Lets it pull. Resolves with what it says at last; empty when it was killed. */
  go(): Promise<string>
  kill(): void
}

/** `before`: words that lead to the program, such as `unshare --mount`. */
export async function makePuller(home: string, image: string, { before = [], policy = 'missing' }: { readonly before?: readonly string[], readonly policy?: string } = {}): Promise<Puller> {
  const [program = '', ...words] = [...before, process.execPath, puller, image, policy]
  const child: ChildProcessByStdio<Writable, Readable, null> = spawn(program, words, { env: { ...process.env, MAYFLY_HOME: home }, stdio: ['pipe', 'pipe', 'inherit'] })
  let said = ''
  const ended = new Promise<string>((resolve) => { child.once('close', () => { resolve(said.replace('begun\n', '').trim()) }) })
  const begun = new Promise<void>((resolve) => {
    child.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString()
      if (said.includes('begun\n')) resolve()
    })
  })
  child.stdin.on('error', () => undefined)
  await Promise.race([begun, ended])
  return { kill: () => void child.kill('SIGKILL'), go: () => (child.stdin.write('go\n'), ended) }
}

/** A layer of files that do not compress. */
export function layer(name: string, { files, size }: { readonly files: number, readonly size: number }): Buffer {
  const entries: Entry[] = [{ name: `${name}/`, type: '5', mode: 0o755 }]
  for (let at = 0; at < files; at += 1) entries.push({ name: `${name}/${String(at)}`, content: randomBytes(size) })
  return tar(entries)
}

/** What is wrong with a store after everything has ended there: nothing. */
export async function wrongWith(home: string): Promise<unknown> {
  const store = await openStore(home)
  const { problems } = await verifyStore(store)
  await collectGarbage(store, { now: Date.now() + 7200_000 })
  const left = Object.fromEntries(['ingest', 'trash', 'leases', 'locks'].map((name) => [name, readdirSync(join(home, name))]).filter(([, names]) => names?.length !== 0))
  return { problems, left }
}

export const NOTHING = { problems: [], left: {} }

/** The processes of the native program that work below a directory. */
export function workingBelow(directory: string): number[] {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).filter((name) => {
    try {
      return readFileSync(`/proc/${name}/cmdline`, 'utf8').includes(directory)
    } catch {
      return false
    }
  }).map(Number)
}

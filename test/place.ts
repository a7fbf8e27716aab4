import { execFile, spawn, spawnSync, type ChildProcessByStdio } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { endRun } from '@mayfly/core/engine'
import { expect } from 'vitest'
import { connectRun, listRuns } from '../packages/core/src/container/runs.js'
import { removeTree } from '../packages/core/src/layers/native.js'
import { decodeList, METHOD, type ListedContainer } from '../packages/core/src/native/index.js'
import { startRegistry } from './images/registry.mjs'

/** Whether the tests are root's: an ordinary user's containers have their ports on the loopback, and no cgroups unless they were handed over. */
export const rootful = process.geteuid?.() === 0

/** The built command line. */
export const program = fileURLToPath(new URL('../packages/cli/dist/main.js', import.meta.url))

/** What a command of the command line did. */
export interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** A registry with the test images, and a store and socket directory of one's own, for this process and its children. */
export interface Place {
  readonly directory: string
  readonly registry: { readonly host: string; readonly mirror: string }
  /** Runs `mayfly WORDS…` to its end. */
  mayfly(words: readonly string[], env?: NodeJS.ProcessEnv): Promise<Outcome>
  /** The same for bytes, with `input` for its standard input. */
  piped(words: readonly string[], input?: Buffer): { readonly status: number | null; readonly stdout: Buffer; readonly stderr: Buffer }
  /** Starts `mayfly WORDS…`. */
  spawn(words: readonly string[]): ChildProcessByStdio<null, Readable, null>
  close(): Promise<void>
}

export async function openPlace(): Promise<Place> {
  const registry = await startRegistry()
  const directory = mkdtempSync(join(tmpdir(), 'mayfly-test-'))
  const before = { ...process.env }
  Object.assign(process.env, {
    MAYFLY_REGISTRY_MIRROR: registry.mirror, MAYFLY_HOME: join(directory, 'home'), XDG_RUNTIME_DIR: join(directory, 'run'),
  })
  return {
    directory,
    registry,
    spawn: (words) => spawn(process.execPath, [program, ...words], { stdio: ['ignore', 'pipe', 'inherit'] }),
    piped: (words, input) => spawnSync(process.execPath, [program, ...words], { input: input ?? '', maxBuffer: 2 ** 27 }),
    mayfly: (words, env = {}) => execute(process.execPath, [program, ...words], { ...process.env, ...env }),
    close: async () => {
      await endRun()
      for (const name of ['MAYFLY_REGISTRY_MIRROR', 'MAYFLY_HOME', 'XDG_RUNTIME_DIR']) {
        if (before[name] === undefined) delete process.env[name]
        else process.env[name] = before[name]
      }
      await registry.close()
      // The janitor is still deleting there; an ordinary user's store has files of other ids.
      if (!rootful) await removeTree(join(directory, 'home'))
      rmSync(directory, { recursive: true, force: true, maxRetries: 10 })
    },
  }
}

/** Runs a program to its end. */
export function execute(command: string, words: readonly string[], env: NodeJS.ProcessEnv): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = execFile(command, words, { env }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1
      resolve({ code, stdout, stderr })
    })
    // Nobody answers questions.
    child.stdin?.end()
  })
}

/** What containers of runs in this home left: containers a supervisor knows, cgroups, scratch; prepared slots are none. */
async function remains(): Promise<string[]> {
  const home = process.env['MAYFLY_HOME'] ?? ''
  const containers = await everyContainer(home)
  const slots = new Set(containers.filter(({ state, label }) => state === 'waiting' && label.length === 0).map(({ id }) => id))
  const runs = entries(join(home, 'runs'))
  const cgroups = runs.flatMap((run) => lines(join(home, 'runs', run, 'cgroups')))
  return [
    ...containers.filter(({ id }) => !slots.has(id)).map(({ id, label }) => `container ${id} ${label.toString()}`),
    ...cgroups.flatMap((group) => directories(group).filter((name) => !slots.has(name)).map((name) => `cgroup ${group}/${name}`)),
    ...runs.flatMap((run) => entries(join(home, 'runs', run, 'scratch')).filter((name) => !slots.has(name)).map((name) => `scratch ${name}`)),
    ...['ingest', 'trash'].flatMap((name) => entries(join(home, name)).map((one) => `${name} ${one}`)),
  ]
}

async function everyContainer(home: string): Promise<ListedContainer[]> {
  const lists = await Promise.all((await listRuns(home)).map(async ({ file }) => {
    // A run that is just ending answers no more.
    const connection = await connectRun(file).catch(() => undefined)
    const reply = await connection?.request(METHOD.list).catch(() => undefined)
    connection?.close()
    return reply === undefined ? [] : decodeList(reply)
  }))
  return lists.flat()
}

/** Asserts that nothing is left of what failed. Deleting scratch is the janitor's, a moment later. */
export async function nothingLeft(): Promise<void> {
  await expect.poll(remains, { timeout: 3000, interval: 20 }).toEqual([])
}

/** The error of something that must fail. */
export async function failure(work: Promise<unknown>): Promise<Error & { code: string; hint?: string; details: Readonly<Record<string, unknown>> }> {
  const outcome = await work.then((value) => ({ value }), (error: unknown) => ({ error }))
  if ('value' in outcome) throw new Error(`It did not fail, but gave ${String(outcome.value)}`)
  return outcome.error as Awaited<ReturnType<typeof failure>>
}

function entries(path: string): string[] {
  return existsSync(path) ? readdirSync(path) : []
}

function directories(path: string): string[] {
  return existsSync(path) ? readdirSync(path, { withFileTypes: true }).filter((one) => one.isDirectory()).map(({ name }) => name) : []
}

function lines(path: string): string[] {
  return existsSync(path) ? readFileSync(path, 'utf8').split('\n').filter((line) => line !== '') : []
}

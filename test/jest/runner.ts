import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { removeTree } from '../../packages/core/src/layers/native.js'
import { startRegistry } from '../images/registry.mjs'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

/** A registry with the test images and a store of its own, for runners started as child processes. */
export interface Bench {
  readonly environment: NodeJS.ProcessEnv
  readonly directory: string
  /** Where the runner and its projects are, if not in their usual places. */
  readonly consumer?: string
  /** The Node that runs it, if not this one. */
  readonly node?: string
  close(): Promise<void>
}

/** A further version of a runner, which has a workspace of its own in test/consumers. */
export type Consumer = 'jest29' | 'vitest3' | 'vitest5'

/**
 * The same bench for Vitest 5, which needs a newer Node than ours is: both are installed when they are first wanted, 10 s on a busy
 * machine, and stay beside the others.
 */
export function openNewest(bench: Bench): Bench {
  const place = join(root, 'test/consumers/vitest5')
  const newer = `node-${process.platform}-${process.arch}`
  const node = Number(process.versions.node.split('.')[0]) >= 22 ? process.execPath : join(place, 'node_modules', newer, 'bin/node')
  const { devDependencies: { vitest } } = JSON.parse(readFileSync(join(place, 'package.json'), 'utf8')) as { readonly devDependencies: { readonly vitest: string } }
  const installed = join(place, 'node_modules/vitest/package.json')
  const there = existsSync(node) && existsSync(installed) && (JSON.parse(readFileSync(installed, 'utf8')) as { readonly version: string }).version === vitest
  if (!there) {
    const words = ['install', '--silent', '--no-audit', '--no-fund', '--no-package-lock', '--no-save', ...node === process.execPath ? [] : [`${newer}@22`]]
    const { status, stdout, stderr } = spawnSync('npm', words, { cwd: place, env: bench.environment, encoding: 'utf8' })
    if (status !== 0) throw new Error(`Vitest ${vitest} cannot be installed:\n${stdout}${stderr}`)
  }
  return { ...openConsumer(bench, 'vitest5'), node }
}

/** The same bench for a further version of a runner: copies of our packages and of the projects find it as a user's would. */
export function openConsumer(bench: Bench, name: Consumer): Bench {
  const consumer = mkdtempSync(join(root, 'test/consumers', name, 'run-'))
  for (const one of ['jest-env', 'vitest-plugin']) {
    const target = join(consumer, 'node_modules/@mayfly', one)
    mkdirSync(target, { recursive: true })
    for (const part of ['package.json', 'dist', 'jest-preset.json']) {
      const from = join(root, 'packages', one, part)
      if (existsSync(from)) cpSync(from, join(target, part), { recursive: true })
    }
  }
  return {
    ...bench,
    consumer,
    close: () => {
      rmSync(consumer, { recursive: true })
      return Promise.resolve()
    },
  }
}

export async function openBench(): Promise<Bench> {
  const registry = await startRegistry()
  const directory = mkdtempSync(join(tmpdir(), 'mayfly-test-'))
  const environment: NodeJS.ProcessEnv = {
    ...process.env,
    MAYFLY_REGISTRY_MIRROR: registry.mirror,
    MAYFLY_HOME: join(directory, 'home'),
    NO_COLOR: '1',
  }
  // What the outer runner says about itself is not meant for the inner one.
  for (const name of Object.keys(environment)) {
    if (/^(VITEST|JEST_WORKER_ID|NODE_ENV|TEST|MAYFLY_RUN|NODE_OPTIONS|FORCE_COLOR)/.test(name)) delete environment[name]
  }
  return {
    environment,
    directory,
    close: async () => {
      await registry.close()
      // An ordinary user's store has files of other ids.
      await removeTree(directory)
    },
  }
}

/** One test's outcome, by its full name. */
export interface Report {
  readonly code: number | null
  readonly output: string
  readonly tests: Readonly<Record<string, 'passed' | 'failed' | 'pending' | 'skipped'>>
  readonly failures: string
}

const PROGRAMS = {
  jest: { path: 'node_modules/jest/bin/jest.js', words: ['--json', '--outputFile'] },
  vitest: { path: 'node_modules/vitest/vitest.mjs', words: ['run', '--reporter=default', '--reporter=json', '--outputFile.json'] },
} as const

/** Starts a real runner on a fixture project. Its output goes to the returned child's streams. */
export function startRunner(
  runner: keyof typeof PROGRAMS, project: string, bench: Bench, words: readonly string[], { group = false }: { readonly group?: boolean } = {},
): ChildProcess {
  return spawn(bench.node ?? process.execPath, [programOf(runner, bench), ...words], {
    cwd: placeOf(runner, project, bench),
    env: bench.environment,
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own, as a terminal's foreground job has.
    detached: group,
  })
}

function programOf(runner: keyof typeof PROGRAMS, { consumer }: Bench): string {
  return join(consumer === undefined ? root : dirname(consumer), PROGRAMS[runner].path)
}

function placeOf(runner: keyof typeof PROGRAMS, project: string, { consumer }: Bench): string {
  const place = join(root, 'test', runner, 'fixtures', project)
  if (consumer === undefined) return place
  const copy = join(consumer, project)
  if (!existsSync(copy)) cpSync(place, copy, { recursive: true })
  return copy
}

/** Runs a real runner to its end, without a report: what it prints is all there is. */
export async function runPlainly(
  runner: keyof typeof PROGRAMS, project: string, bench: Bench, words: readonly string[] = [],
): Promise<Pick<Report, 'code' | 'output'>> {
  const child = startRunner(runner, project, bench, words)
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (text: Buffer) => { output += text.toString() })
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { code, output }
}

/** Runs a real runner on a fixture project to its end. */
export async function runTests(
  runner: keyof typeof PROGRAMS, project: string, bench: Bench, words: readonly string[] = [],
): Promise<Report> {
  const file = join(bench.directory, `${runner}.json`)
  rmSync(file, { force: true })
  const [first, ...rest] = PROGRAMS[runner].words
  const flags = [first, ...rest].map((word) => word.startsWith('--outputFile') ? `${word}=${file}` : word)
  const { code, output } = await runPlainly(runner, project, bench, [...flags, ...words])
  return { code, output, ...outcomes(file, output) }
}

interface JsonReport {
  readonly testResults: readonly {
    readonly message?: string
    readonly assertionResults: readonly { readonly fullName: string; readonly status: 'passed' | 'failed'; readonly failureMessages: readonly string[] }[]
  }[]
}

function outcomes(file: string, output: string): Pick<Report, 'tests' | 'failures'> {
  let report: JsonReport
  try {
    report = JSON.parse(readFileSync(file, 'utf8')) as JsonReport
  } catch {
    throw new Error(`The runner left no report:\n${output}`)
  }
  const all = report.testResults.flatMap((one) => one.assertionResults)
  const messages = [...report.testResults.map((one) => one.message ?? ''), ...all.flatMap((one) => one.failureMessages.map((text) => `FAILED ${one.fullName}: ${text}`))]
  return { tests: Object.fromEntries(all.map((one) => [one.fullName, one.status])), failures: messages.join('\n') }
}

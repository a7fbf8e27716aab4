import { execFileSync, spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ID, makeOrdinary } from './ordinary.mjs'

/** See `makeOrdinary`. */
export interface User {
  readonly directory: string
  /**
   * Runs a program as the user, in the checkout. Resolves with what it printed and its exit code. `network`: lines of a
   * script, run by root, that set up a network namespace of its own.
   */
  run(words: readonly string[], env?: Readonly<Record<string, string>>, network?: readonly string[]): Promise<{ readonly code: number; readonly output: string }>
  remove(): void
}

export { ID, withoutUser } from './ordinary.mjs'

export function makeUser(options: Parameters<typeof makeOrdinary>[0]): User {
  const { directory, command, remove } = makeOrdinary(options)
  return {
    directory,
    remove,
    run: (given, variables = {}, network = undefined) => new Promise((resolve, reject) => {
      const { program, words, env } = command(given, variables, network)
      const child = spawn(program, words, { stdio: ['ignore', 'pipe', 'pipe'], env })
      let output = ''
      for (const stream of [child.stdout, child.stderr]) stream.on('data', (text: Buffer) => { output += text.toString() })
      child.once('error', reject)
      child.once('close', (code) => { resolve({ code: code ?? 1, output }) })
    }),
  }
}

export interface Outcome {
  readonly passed: number
  readonly failures: readonly string[]
}

/** Runs test files as the user, and what came of them. Ways out have their own tests. */
export async function testAs(user: User, files: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Outcome> {
  const report = join(user.directory, 'tmp', 'report.json')
  const { output } = await user.run([
    process.execPath, 'node_modules/vitest/vitest.mjs', 'run', '--pool=forks', '--no-file-parallelism', '--configLoader=runner',
    '--reporter=json', `--outputFile.json=${report}`, ...files,
  ], { MAYFLY_OUTBOUND: 'off', ...env })
  if (!existsSync(report)) throw new Error(`vitest left no report:\n${output}`)
  const { testResults } = JSON.parse(readFileSync(report, 'utf8')) as {
    testResults: { name: string; message: string; status: string; assertionResults: { status: string; fullName: string; failureMessages: string[] }[] }[]
  }
  const all = testResults.flatMap(({ assertionResults }) => assertionResults)
  return {
    passed: all.filter(({ status }) => status === 'passed').length,
    failures: [
      ...all.filter(({ status }) => status === 'failed').map(({ fullName, failureMessages }) => `${fullName}: ${failureMessages.join('\n')}`),
      ...testResults.filter(({ status, assertionResults }) => status === 'failed' && assertionResults.every((one) => one.status !== 'failed')).map(({ name, message }) => `${name}: ${message}`),
    ],
  }
}

/** A process's children are the kernel's to reap; what the user's id still runs is told. */
export function processesOf(id = ID): string[] {
  try {
    return execFileSync('pgrep', ['-a', '-u', String(id)], { encoding: 'utf8' }).trim().split('\n').filter((line) => !line.endsWith('<defunct>'))
  } catch {
    return []
  }
}

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { openBench, startRunner, type Bench } from '../jest/runner.js'
import { plain } from './plain.js'

// Real runners, on a machine that may be busy.
vi.setConfig({ testTimeout: 120_000 })

let bench: Bench
beforeAll(async () => { bench = await openBench() })
afterAll(() => bench.close())

/** All that a runner prints, and how it ends. */
async function outputOf(runner: 'jest' | 'vitest', project: string, words: readonly string[]): Promise<string> {
  const first = runner === 'jest' ? ['--runInBand', `--cacheDirectory=${join(bench.directory, 'cache', project)}`] : ['run', '--maxWorkers=1']
  mkdirSync(join(bench.directory, 'cache', project), { recursive: true })
  const child = startRunner(runner, project, bench, [...first, ...words])
  const said = { stdout: '', stderr: '' }
  for (const stream of ['stdout', 'stderr'] as const) child[stream]?.on('data', (text: Buffer) => { said[stream] += text.toString() })
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return plain(`${said.stdout}--- standard error\n${said.stderr}--- ended with ${String(code)}\n`)
}

// What a user reads, whole: `vitest run test/outputs -u` writes them anew, to be read before they are committed.
test.each([
  ['a failed test, one that threw text, and a hook that broke', 'jest', 'failing', ['failing.case']],
  ['a container that died', 'jest', 'failing', ['died']],
  ['a container that the test stopped', 'jest', 'failing', ['gone']],
  ['a test that fails in every attempt', 'jest', 'retried', []],
  ['a mistake in the configuration', 'jest', 'mistaken', []],
  ['an unknown name, a container asked for too late, and one not at all', 'jest', 'astray', []],
  ['pragmas with mistakes', 'jest', 'typos', []],
  ['a failed test, one that threw text, and a hook that broke', 'vitest', 'failing', ['failing.case']],
  ['a container that the test stopped', 'vitest', 'failing', ['gone']],
  ['a test that fails in every attempt', 'vitest', 'retried', []],
  ['a mistake in the configuration', 'vitest', 'mistaken', []],
  ['an unknown name, a container asked for too late, and one not at all', 'vitest', 'astray', []],
  ['images that cannot be had', 'vitest', 'offline', []],
  ['a preparation that fails', 'vitest', 'broken', []],
  ['an unknown name', 'vitest', 'main', ['unknown']],
] as const)('%s: %s %s', async (what, runner, project, words) => {
  await expect(await outputOf(runner, project, words)).toMatchFileSnapshot(join(import.meta.dirname, `${runner}-${what.replace(/[^a-z]+/g, '-')}.txt`))
})

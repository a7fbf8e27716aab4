import { afterAll, beforeAll, expect, test } from 'vitest'
import { interrupt, killWhileHolding } from './killing.js'
import { openBench, type Bench } from './runner.js'

let bench: Bench
beforeAll(async () => { bench = await openBench() })
afterAll(() => bench.close())

test.each([
  ['two workers', ['--maxWorkers=2'], 2],
  ['in one process', ['--runInBand', 'one'], 1],
])('two seconds after Jest (%s) was killed nothing of it is left', async (_, words, holders) => {
  expect(await killWhileHolding('jest', bench, words, holders)).toEqual([])
}, 120_000)

// With a store of its own the set-up has images to fetch, and nothing is prepared.
test.each(['set-up', 'prepare', 'lease', 'test', 'teardown'] as const)('Ctrl-C in Jest\'s %s leaves nothing', async (phase) => {
  const own = phase === 'test' ? bench : { ...bench, environment: { ...bench.environment, MAYFLY_HOME: `${bench.directory}/interrupted` } }
  const word = phase === 'set-up' || phase === 'test' ? 'one' : phase
  expect(await interrupt('jest', own, ['--runInBand', word], phase)).toEqual([])
}, 120_000)

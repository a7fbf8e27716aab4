import { afterAll, beforeAll, expect, test } from 'vitest'
import { interrupt, killWhileHolding } from '../jest/killing.js'
import { openBench, type Bench } from '../jest/runner.js'

let bench: Bench
beforeAll(async () => { bench = await openBench() })
afterAll(() => bench.close())

test.each(['forks', 'threads'])('two seconds after Vitest (%s) was killed nothing of it is left', async (pool) => {
  expect(await killWhileHolding('vitest', bench, ['run', `--pool=${pool}`], 2)).toEqual([])
}, 120_000)

// With a store of its own the set-up has images to fetch, and nothing is prepared.
test.each(['set-up', 'prepare', 'lease', 'test', 'teardown'] as const)('Ctrl-C in Vitest\'s %s leaves nothing', async (phase) => {
  const own = phase === 'test' ? bench : { ...bench, environment: { ...bench.environment, MAYFLY_HOME: `${bench.directory}/interrupted` } }
  const word = phase === 'set-up' || phase === 'test' ? 'one' : phase
  expect(await interrupt('vitest', own, ['run', word], phase)).toEqual([])
}, 120_000)

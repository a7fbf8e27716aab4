import { afterAll, beforeAll, expect, test } from 'vitest'
import { interrupt, killWhileHolding } from '../jest/killing.js'
import { openBench, type Bench } from '../jest/runner.js'

let bench: Bench
beforeAll(async () => { bench = await openBench() })
afterAll(() => bench.close())

test.each(['forks', 'threads'])('two seconds after Vitest (%s) was killed nothing of it is left', async (pool) => {
  expect(await killWhileHolding('vitest', bench, ['run', `--pool=${pool}`], 2)).toEqual([])
}, 120_000)

test.each(['set-up', 'test'] as const)('Ctrl-C in Vitest\'s %s leaves nothing', async (phase) => {
  const own = phase === 'test' ? bench : { ...bench, environment: { ...bench.environment, MAYFLY_HOME: `${bench.directory}/interrupted` } }
  expect(await interrupt('vitest', own, ['run', 'one'], phase)).toEqual([])
}, 120_000)

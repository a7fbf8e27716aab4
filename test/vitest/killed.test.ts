import { afterAll, beforeAll, expect, test } from 'vitest'
import { killWhileHolding } from '../jest/killing.js'
import { openBench, type Bench } from '../jest/runner.js'

let bench: Bench
beforeAll(async () => { bench = await openBench() })
afterAll(() => bench.close())

test.each(['forks', 'threads'])('two seconds after Vitest (%s) was killed nothing of it is left', async (pool) => {
  expect(await killWhileHolding('vitest', bench, ['run', `--pool=${pool}`], 2)).toEqual([])
}, 120_000)

import { afterAll, beforeAll, expect, test } from 'vitest'
import { killWhileHolding } from './killing.js'
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

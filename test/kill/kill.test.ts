import { expect, test } from 'vitest'
import { killEverywhere, type Request } from './kill.js'

/** `npm run test:kill`: every scenario with every victim, and pairs of victims. In the suite: what takes a minute. */
const full = process.env['MAYFLY_TEST_KILL'] === 'full'
const pairs = full ? ['supervisor+janitor', 'owner+supervisor', 'owner+supervisor+janitor'] : []

test.each<[string, number, Request]>([
  ['start, exec and stop', 1000, { scenarios: ['slot', 'fresh'], victims: ['owner', 'supervisor', 'janitor', 'owner+janitor', ...pairs] }],
  ['another process\'s container', 100, { scenarios: ['worker'], victims: full ? ['worker', 'owner', 'supervisor', 'janitor', 'owner+janitor', ...pairs] : ['worker'] }],
])('whoever is killed at whatever step of %s, nothing is left', { timeout: 30 * 60_000 }, async (_, least, request) => {
  const { reached, missed, counts, failures } = await killEverywhere(request)
  process.stdout.write(`${reached} killed, ${missed} steps that did not come; steps: ${JSON.stringify(counts)}\n`)
  expect(failures).toEqual([])
  expect(reached).toBeGreaterThanOrEqual(least)
})

import { expect, test } from 'vitest'
import { PULLING, pullSlowly } from './pulls.js'

// With workers, whose output Jest gathers: ours is the main process's and comes while the pull goes on.
test('Jest\'s set-up says how far a long pull is', { timeout: 120_000 }, async () => {
  const { code, output } = await pullSlowly('jest', ['--maxWorkers=2', 'single', 'pragma'])
  expect(output).toMatch(PULLING)
  expect(output.search(PULLING)).toBeLessThan(output.search(/^(PASS|FAIL) /m))
  expect(code, output).toBe(0)
})

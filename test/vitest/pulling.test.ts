import { expect, test } from 'vitest'
import { PULLING, pullSlowly } from '../jest/pulls.js'

test('Vitest\'s set-up says how far a long pull is', { timeout: 120_000 }, async () => {
  const { code, output } = await pullSlowly('vitest', ['run', 'one'])
  expect(output).toMatch(PULLING)
  expect(code, output).toBe(0)
})

import { expect, test } from 'vitest'
import { killEverywhere } from '../kill/kill.js'
test('kill', { timeout: 30 * 60_000 }, async () => {
  const all = []
  for (let i = 0; i < Number(process.env['ROUNDS'] ?? 4); i += 1) {
    const { reached, missed, failures } = await killEverywhere({ scenarios: ['slot', 'fresh'], victims: ['janitor'] })
    console.log(reached, missed, JSON.stringify(failures))
    all.push(...failures)
  }
  expect(all).toEqual([])
})

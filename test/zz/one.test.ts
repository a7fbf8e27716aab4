import { test } from 'vitest'
import { killEverywhere } from '../kill/kill.js'
test('kill', { timeout: 60_000 }, async () => {
  console.log(JSON.stringify(await killEverywhere({ scenarios: ['fresh'], victims: [] }, 1)))
})

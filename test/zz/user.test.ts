import { expect, test } from 'vitest'
import { makeUser, testAs } from '../rootless/user.js'
test('as user', { timeout: 200_000 }, async () => {
  const user = makeUser({ ranges: true })
  try {
    const { passed, failures } = await testAs(user, [process.env['WHAT'] ?? 'test/runtime/kill'])
    console.log(passed, JSON.stringify(failures, null, 1))
    expect(failures).toEqual([])
  } finally { user.remove() }
})

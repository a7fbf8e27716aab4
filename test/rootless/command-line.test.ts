import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeUser, processesOf, testAs, withoutUser, type User } from './user.js'

/** A user of its own: who counts another file's processes waits for them. */
const OWN = 61_002
/** What is another thing for a user: words, tables and archives are not. */
const FILES = ['containers', 'events', 'files', 'health', 'images', 'info', 'kept', 'network', 'processes', 'run-flags', 'streams']

const why = withoutUser()
if (why !== undefined) process.stderr.write(`the command line's tests are not run as an ordinary user: ${why}\n`)

describe.skipIf(why !== undefined)('as an ordinary user with subordinate ids', () => {
  let user: User
  beforeAll(() => { user = makeUser({ ranges: true, id: OWN }) })
  afterAll(() => { user.remove() })

  test('the command line\'s tests pass', { timeout: 400_000 }, async () => {
    const { passed, failures } = await testAs(user, FILES.map((name) => `test/cli/${name}.test.ts`))
    expect(failures).toEqual([])
    expect(passed).toBeGreaterThan(40)
    await expect.poll(() => processesOf(OWN), { timeout: 10_000, interval: 50 }).toEqual([])
  })
})

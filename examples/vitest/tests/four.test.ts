import { expect } from 'vitest'
import { slot, test as withDatabase, visit } from '../visits.js'

const test = withDatabase()

test('file four sees only rows of its own worker', async ({ db }) => {
  expect(db.url).toBe(process.env.DATABASE_URL)
  const { slots, files } = await visit('four')
  expect(slots).toEqual([slot])
  expect(files).toContain('four')
})

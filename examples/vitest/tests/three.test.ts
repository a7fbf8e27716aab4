import { withContainers } from '@mayfly/vitest-plugin/test'
import { expect, test as base } from 'vitest'
import { slot, visit } from '../visits.js'

const test = withContainers(base, { db: 'db' })

test('file three sees only rows of its own worker', async ({ db }) => {
  expect(db.url).toBe(process.env.DATABASE_URL)
  const { slots, files } = await visit('three')
  expect(slots).toEqual([slot])
  expect(files).toContain('three')
})

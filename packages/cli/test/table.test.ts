import { expect, test } from 'vitest'

import { elapsed, table } from '../src/table.js'

test('columns are as wide as their widest cell, or ten, with nothing after the last', () => {
  expect(table(['ID', 'NAME'], [['1234', 'web'], ['5', 'a']])).toBe('ID        NAME\n1234      web\n5         a\n')
})

test.each([
  [0, 'Less than a second'], [1, '1 second'], [59, '59 seconds'], [60, 'About a minute'], [150, '2 minutes'],
  [3600, 'About an hour'], [3 * 3600, '3 hours'], [3 * 86_400, '3 days'], [21 * 86_400, '3 weeks'],
])('%d s read "%s"', (seconds, text) => {
  expect(elapsed(1000, 1000 + seconds * 1000)).toBe(text)
})

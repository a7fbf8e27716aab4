import { container } from '@mayfly/vitest-plugin/test'
import { afterAll, expect, test } from 'vitest'
import { close, names } from '../products.js'

container('db')
afterAll(close)

test('another file sees the state as it was prepared', async () => {
  expect(await names()).toEqual(['paper', 'pencil'])
})

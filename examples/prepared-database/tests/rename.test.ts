import { container } from '@mayfly/vitest-plugin/test'
import { afterAll, expect, test } from 'vitest'
import { close, names, rename } from '../products.js'

container('db')
afterAll(close)

test('a product gets another name', async () => {
  await rename('paper', 'card')
  expect(await names()).toEqual(['card', 'pencil'])
})

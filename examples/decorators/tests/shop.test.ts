import type { HttpContainer, RedisContainer } from '@mayfly/core'
import { container, fixtures } from '@mayfly/vitest-plugin/test'
import { expect, test } from 'vitest'

class Fixtures {
  /** Static: one for the file. */
  @container('httpd') static accessor web: HttpContainer
  /** One for each test. */
  @container('redis') accessor cache!: RedisContainer
}
const fx = fixtures(Fixtures)

test('both are there', async () => {
  expect((await Fixtures.web.fetch('/')).status).toBe(200)
  expect((await fx.cache.exec(['redis-cli', 'incr', 'visits'])).stdout).toBe('1\n')
})

test('the cache is another', async () => {
  expect((await fx.cache.exec(['redis-cli', 'incr', 'visits'])).stdout).toBe('1\n')
})

import { run, wait } from '@mayfly/core'
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'

let cache
before(async () => { cache = await run('redis:7', { ready: wait.port(6379) }) })
after(() => cache?.stop())

test('a container in node:test', async () => {
  await cache.exec(['redis-cli', 'set', 'greeting', 'hello'])
  const { stdout } = await cache.exec(['redis-cli', 'get', 'greeting'])
  assert.equal(stdout, 'hello\n')
})

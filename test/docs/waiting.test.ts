// The code of docs/waiting.md.
import { run, wait } from '@mayfly/core'
import { endRun } from '@mayfly/core/engine'
import { afterAll, expect, test } from 'vitest'
import { useBench } from '../runtime/bench.js'

useBench()
afterAll(endRun)

test('strategies', async () => {
  await using web = await run('httpd', { ready: wait.http('/', { port: 80, body: 'It works!' }) })
  await using cache = await run('redis', { ready: wait.all(wait.log('Ready to accept connections'), wait.port(6379)) })
  await using either = await run('redis', { ready: wait.any(wait.socket('/run/redis.sock'), wait.exec(['redis-cli', 'PING'])) })
  expect([web, cache, either].map(({ image }) => image)).toEqual(['httpd', 'redis', 'redis'])
})

test('limits', async () => {
  await using cache = await run('redis', {
    ready: wait.all(wait.log('Ready to accept connections').within(5_000), wait.port(6379).within(10_000)),
    startTimeout: 20_000,
  })
  expect(cache.id).toHaveLength(64)
})

test('a condition of one\'s own', async () => {
  await using cache = await run('redis', {
    ready: wait.custom(async ({ container, listening }) => {
      await listening(6379)
      return (await container.exec(['redis-cli', 'DBSIZE'])).stdout === '0\n'
    }, 'an empty database'),
  })
  expect(cache.id).toHaveLength(64)
})

test('jobs', async () => {
  await using job = await run('busybox', { command: 'echo done > /result', ready: wait.completed() })
  expect(await job.exit).toMatchObject({ code: 0 })
})

test('what an error says', async () => {
  const start = run('busybox', { command: 'echo no disk; exit 4', ready: wait.port(5432) })
  await expect(start).rejects.toMatchObject({
    code: 'ERR_MAYFLY_CONTAINER_EXITED',
    message: 'busybox ended with exit code 4 before it was ready, waiting for port 5432. Its last log lines:\n  no disk',
    details: { exitCode: 4, oomKilled: false, log: ['no disk'] },
  })
})

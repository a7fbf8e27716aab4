// The code of docs/networks.md.
import { createServer } from 'node:http'
import { network, reach, run, wait } from '@mayfly/core'
import { endRun } from '@mayfly/core/engine'
import { afterAll, expect, test } from 'vitest'
import { until, useBench } from '../runtime/bench.js'

useBench()
afterAll(endRun)

test('addresses and ports', async () => {
  await using web = await run('httpd')
  web.urlOf(80)                     // http://198.18.0.5:80 for root, http://127.0.0.1:41234 for an ordinary user
  await (await web.fetch('/')).text()
  expect(web.urlOf(80)).toBe(`http://${web.host}:${web.port(80)}`)

  await using fixed = await run('busybox', {
    command: ['httpd', '-f', '-p', '80'],
    ports: [
      80,                                           // as reachable as what the image EXPOSEs
      '127.0.0.1:20000-29999:80',                   // the first free one of these
      { container: 81, preferred: 8081 },           // this one if it is free, else any
      '5000-5002:5000-5002/udp',                    // three, of datagrams
    ],
    ready: wait.port(80),
  })
  expect(fixed.ports).toEqual([80, 81])
})

test('a socket handed in', async () => {
  await using cache = await run('redis', { loopback: 'direct' })
  cache.urlOf(6379, 'redis')        // redis://127.0.0.1:41235, where Redis itself listens
  expect(cache.host).toBe('127.0.0.1')
})

test('private networks', async () => {
  await using front = await network()
  await using back = await network({ internal: true })
  await using cache = await run('redis', { network: back, aliases: ['cache'] })
  await using app = await run('redis', { network: [front, back], extraHosts: { legacy: '192.0.2.7' } })
  const { stdout } = await app.exec(['redis-cli', '-h', 'cache', 'PING'])
  expect([stdout, cache.ip]).toEqual(['PONG\n', back.containers[0]?.ip])

  await using late = await run('redis')
  await front.connect(late, { aliases: ['late'] })
  expect((await app.exec(['redis-cli', '-h', 'late', 'PING'])).stdout).toBe('PONG\n')
  await front.disconnect(late)
})

test('a server of the test', async () => {
  await using client = await run('busybox', { command: ['sleep', '60'] })
  const server = createServer((_request, response) => { response.end('hello') })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })

  await using there = await reach(server)           // or client.reach(server), or net.reach(server)
  const { stdout } = await client.exec(['wget', '-qO-', there.url()])     // http://host.mayfly.internal:41236
  expect(stdout).toBe('hello')
  server.close()
})

test('faults', async () => {
  await using net = await network()
  await using a = await run('redis', { network: net, aliases: ['a'] })
  await using b = await run('redis', { network: net, aliases: ['b'] })
  {
    await using _ = await a.faults.latency({ ms: 50, jitter: 10 })        // undone at the end of the block
    await using _narrow = await a.faults.bandwidth({ rate: '64k', direction: 'up' })
  }
  const cut = await a.faults.cut()                  // connections break, new ones are refused
  await cut.clear()
  const silence = await a.faults.timeout({ peer: b, port: 6379 })         // what b asks of a goes unanswered
  await silence.clear()
  const apart = await net.partition(a, b)
  expect((await b.exec(['timeout', '1', 'redis-cli', '-h', 'a', 'PING'])).exitCode).not.toBe(0)
  await apart.clear()
  await until(async () => (await b.exec(['redis-cli', '-h', 'a', 'PING'])).stdout === 'PONG\n')
})

test('a unix socket', async () => {
  await using cache = await run('redis', {
    command: ['redis-server', '--unixsocket', '/tmp/redis.sock', '--port', '0'],
    ready: wait.socket('/tmp/redis.sock'),
  })
  const path = await cache.socket('/tmp/redis.sock')                      // a path of this machine
  expect(path).toMatch(/redis\.sock$/)
})

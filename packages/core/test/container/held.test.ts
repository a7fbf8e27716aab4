import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { startRegistry, type RunningRegistry } from '../../../../test/images/registry.mjs'
import { endRun, openHeldAddress, run, wait, type Container } from '../../src/container/index.js'

let registry: RunningRegistry
const home = mkdtempSync(join(tmpdir(), 'mayfly-held-'))
beforeAll(async () => {
  registry = await startRegistry()
  process.env['MAYFLY_REGISTRY_MIRROR'] = registry.mirror
  process.env['MAYFLY_HOME'] = join(home, 'home')
})
afterAll(async () => {
  await endRun()
  await registry.close()
  rmSync(home, { recursive: true, force: true })
})

test('a connection that comes early is held, and answered by the instance that comes', async () => {
  const held = await openHeldAddress([6379])
  expect(held.ports).toEqual({ 6379: 6379 })
  const early = client(held.host)
  await once(early, 'connect')
  early.write('PING\r\n')
  const redis = await startRedis()
  await held.aim(redis)
  expect(await once(early, 'data')).toEqual(['+PONG\r\n'])
  early.destroy()
  await redis.stop({ timeout: 0 })
  await held.close()
})

test('a successor takes over: connections to the old instance end, later ones are its own', async () => {
  const held = await openHeldAddress([6379])
  let previous: Container | undefined
  for (const name of ['first', 'second', 'third']) {
    const redis = await startRedis()
    await redis.exec(['redis-cli', 'set', 'name', name])
    await held.aim(redis)
    await previous?.stop({ timeout: 0 })
    const now = client(held.host)
    now.write('GET name\r\n')
    expect(await once(now, 'data')).toEqual([`$${String(name.length)}\r\n${name}\r\n`])
    const ended = once(now, 'close')
    await held.aim(undefined)
    await redis.stop({ timeout: 0 })
    await ended
    previous = redis
  }
  await held.close()
})

function startRedis(): Promise<Container> {
  return run('redis:7', { ready: wait.port(6379) })
}

function client(host: string): Socket {
  const socket = connect(6379, host).setEncoding('utf8')
  socket.on('error', () => undefined)
  return socket
}

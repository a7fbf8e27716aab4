// Private networks: who reaches whom, and by what name. Run as root and as an ordinary user.
import { afterAll, expect, test } from 'vitest'
import { endRun, network, run, type Container, type Network } from '../../packages/core/src/container/index.js'
import { useBench } from '../runtime/bench.js'

useBench()
afterAll(endRun)

const web = { command: ['sh', '-c', 'echo "$HOSTNAME" > /www.txt; exec httpd -f -p 80 -h /'], ports: [80] }
const sleeper = { command: ['sleep', '1000'] }

/** Whether a request from one container to the other's web server was answered, and with what. */
async function asks(from: Container, host: string, seconds = 5): Promise<string | undefined> {
  const { exitCode, stdout } = await from.exec(['wget', '-q', '-T', String(seconds), '-O', '-', `http://${host}/www.txt`])
  return exitCode === 0 ? stdout.trim() : undefined
}

test('containers of one network reach one another by name and alias', async () => {
  await using net = await network()
  await using db = await run('busybox', { ...web, network: net, name: 'main-db', aliases: ['db', 'primary'], hostname: 'a' })
  await using client = await run('busybox', { ...web, network: net, name: 'client', hostname: 'b' })
  for (const name of ['main-db', 'db', 'primary', 'a', db.id.slice(0, 12), db.ip]) expect([name, await asks(client, name)]).toEqual([name, 'a'])
  // Who was there first learns of who comes later.
  expect(await asks(db, 'client')).toBe('b')
  expect(net.containers.map(({ name }) => name)).toEqual(['main-db', 'client'])
  expect((await db.fetch('/www.txt')).status).toBe(200)
})

test('containers of different networks do not reach each other, and the host reaches both', async () => {
  await using one = await network()
  await using two = await network({ internal: true })
  await using a = await run('busybox', { ...web, network: one, hostname: 'a' })
  await using b = await run('busybox', { ...web, network: two, hostname: 'b' })
  await using lone = await run('busybox', { ...web, hostname: 'lone' })
  const all = [a, b, lone]
  await Promise.all(all.flatMap((from) => all.filter((to) => to !== from).map(async (to) => {
    expect([from.ip, to.ip, await asks(from, to.ip, 1)]).toEqual([from.ip, to.ip, undefined])
    expect(await asks(from, to.name)).toBeUndefined()
  })))
  // Behind an internal network nothing is, and that is known at once.
  expect((await b.exec(['wget', '-O', '-', 'http://192.0.2.1/'])).stderr).toContain('Network is unreachable')
  for (const each of all) expect((await each.fetch('/www.txt')).status).toBe(200)
})

test('a container on several networks is a neighbour in each', async () => {
  await using front = await network()
  await using back = await network({ internal: true })
  await using proxy = await run('busybox', { ...web, network: [front, back], aliases: ['proxy'], hostname: 'p' })
  await using left = await run('busybox', { ...web, network: front, hostname: 'l', aliases: ['left'] })
  await using right = await run('busybox', { ...web, network: back, hostname: 'r', aliases: ['right'] })
  expect(await asks(left, 'proxy')).toBe('p')
  expect(await asks(right, 'proxy')).toBe('p')
  expect(await asks(proxy, 'left')).toBe('l')
  expect(await asks(proxy, 'right')).toBe('r')
  expect(await asks(left, right.ip, 1)).toBeUndefined()
  expect(await asks(right, left.ip, 1)).toBeUndefined()
})

test('a running container is connected and disconnected', async () => {
  await using net = await network()
  await using lone = await run('busybox', { ...web, hostname: 'lone' })
  await using inside = await run('busybox', { ...web, network: net, hostname: 'inside', name: 'inside' })
  expect(await asks(inside, 'late')).toBeUndefined()
  await net.connect(lone, { aliases: ['late'] })
  expect(await asks(inside, 'late')).toBe('lone')
  expect(await asks(lone, 'inside')).toBe('inside')
  await expect(net.connect(lone)).rejects.toMatchObject({ code: 'ERR_MAYFLY_OPTION_INVALID' })
  await net.disconnect(lone)
  expect(await asks(inside, 'late')).toBeUndefined()
  expect(await asks(lone, inside.ip, 1)).toBeUndefined()
  // Its own network is as it was.
  expect((await lone.fetch('/www.txt')).status).toBe(200)
  await expect(net.disconnect(lone)).rejects.toMatchObject({ code: 'ERR_MAYFLY_OPTION_INVALID' })
})

test('a container that ends is forgotten, and its successor found under the same name', async () => {
  await using net = await network()
  await using client = await run('busybox', { ...sleeper, network: net })
  const first = await run('busybox', { ...web, network: net, aliases: ['db'], hostname: 'first' })
  expect(await asks(client, 'db')).toBe('first')
  await first.stop({ timeout: 0 })
  await using second = await run('busybox', { ...web, network: net, aliases: ['db'], hostname: 'second' })
  expect(second.ip).not.toBe(first.ip)
  expect(await asks(client, 'db')).toBe('second')
})

test('a network that still has containers is not removed, unless it is disposed of', async () => {
  const net = await network({ name: 'kept' })
  await expect(network({ name: 'kept' })).rejects.toMatchObject({ code: 'ERR_MAYFLY_NAME_IN_USE' })
  await using only = await run('busybox', { ...sleeper, network: net })
  await expect(net.remove()).rejects.toMatchObject({ code: 'ERR_MAYFLY_NETWORK_IN_USE' })
  await net[Symbol.asyncDispose]()
  await expect(run('busybox', { ...sleeper, network: net })).rejects.toMatchObject({ code: 'ERR_MAYFLY_OPTION_INVALID' })
  expect((await only.exec(['true'])).exitCode).toBe(0)
  await (await network({ name: 'kept' })).remove()
})

test('addresses are given back, and their end is an error that says so', async () => {
  const nets: Network[] = []
  await expect((async () => { for (;;) nets.push(await network({ size: 100 })) })()).rejects.toMatchObject({ code: 'ERR_MAYFLY_UNSUPPORTED' })
  expect(nets.length).toBeGreaterThanOrEqual(7)
  expect(new Set(nets.map(({ subnet }) => subnet)).size).toBe(nets.length)
  await Promise.all(nets.map((net) => net.remove()))
  await using tiny = await network({ size: 1 })
  await using only = await run('busybox', { ...sleeper, network: tiny })
  expect(only.ip).not.toBe(tiny.gateway)
  await expect(run('busybox', { ...sleeper, network: tiny })).rejects.toMatchObject({ code: 'ERR_MAYFLY_UNSUPPORTED' })
})

test('a subnet that was chosen: its gateway, its range, addresses of one\'s own, and the way from the host', async () => {
  await using net = await network({ subnet: '172.28.0.0/16', gateway: '172.28.0.254', ipRange: '172.28.5.0/30' })
  expect([net.subnet, net.gateway, net.ipRange]).toEqual(['172.28.0.0/16', '172.28.0.254', '172.28.5.0/30'])
  await using fixed = await run('busybox', { ...web, network: net, ip: '172.28.0.5', hostname: 'fixed', aliases: ['db'] })
  await using given = await run('busybox', { ...web, network: net, hostname: 'given' })
  expect([fixed.ip, given.ip]).toEqual(['172.28.0.5', expect.stringMatching(/^172\.28\.5\.[0-3]$/)])
  for (const host of ['db', '172.28.0.5']) expect(await asks(given, host)).toBe('fixed')
  expect(await asks(fixed, given.ip)).toBe('given')
  expect((await fixed.fetch('/www.txt')).status).toBe(200)
  // Others are as far away as ever, in both directions.
  await using other = await network()
  await using apart = await run('busybox', { ...web, network: [other], hostname: 'apart' })
  await using lone = await run('busybox', { ...web, hostname: 'lone' })
  for (const [from, to] of [[apart, fixed], [fixed, apart], [lone, fixed], [fixed, lone]] as const) expect([from.ip, to.ip, await asks(from, to.ip, 1)]).toEqual([from.ip, to.ip, undefined])
  await net.connect(lone, { ip: '172.28.7.7', aliases: ['late'] })
  expect(await asks(fixed, '172.28.7.7')).toBe('lone')

  const taken = { code: 'ERR_MAYFLY_ADDRESS_IN_USE' }
  const invalid = { code: 'ERR_MAYFLY_OPTION_INVALID' }
  await expect(run('busybox', { ...sleeper, network: net, ip: '172.28.0.5' })).rejects.toMatchObject(taken)
  await expect(run('busybox', { ...sleeper, network: net, ip: '172.28.0.254' })).rejects.toMatchObject(taken)
  await expect(run('busybox', { ...sleeper, network: [other, net], ip: '172.28.0.6' })).rejects.toMatchObject(invalid)
  await expect(net.connect(apart, { ip: '172.29.0.1' })).rejects.toMatchObject(invalid)
  await expect(run('busybox', { ...sleeper, ip: '172.28.0.6' })).rejects.toMatchObject(invalid)
  for (const subnet of ['172.28.0.0/16', '172.28.9.0/24', '172.16.0.0/12']) await expect(network({ subnet })).rejects.toMatchObject(taken)
  await expect(network({ subnet: '172.30.0.0/16', size: 5 })).rejects.toMatchObject(invalid)
})

test('what was chosen is free again afterwards: addresses with their containers, subnets with their networks', async () => {
  for (const internal of [false, true]) {
    await using net = await network({ subnet: '10.203.0.0/24', internal })
    expect(net.gateway).toBe('10.203.0.1')
    for (const hostname of ['one', 'two']) {
      await using only = await run('busybox', { ...web, network: net, ip: '10.203.0.9', hostname })
      expect((await only.fetch('/www.txt')).status).toBe(200)
    }
  }
})

test.each([
  [{ aliases: ['db'] }, /private network/],
  [{ network: 'bridge' as 'host' }, /network/],
])('%j is refused', async (options, message) => {
  await expect(run('busybox', { ...sleeper, ...options })).rejects.toMatchObject({ code: 'ERR_MAYFLY_OPTION_INVALID', message: expect.stringMatching(message) as string })
})

test.each(['-db', 'a b', 'host.docker.internal', '10.0.0.1', 'x'.repeat(64), 'localhost', ''])('alias %j is refused', async (alias) => {
  await using net = await network()
  await expect(run('busybox', { ...sleeper, network: net, aliases: [alias] })).rejects.toMatchObject({ code: 'ERR_MAYFLY_OPTION_INVALID' })
})

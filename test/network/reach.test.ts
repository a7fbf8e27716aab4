// The machine that the tests run on, as containers see it: closed, but for what is opened. Run as root and as an ordinary user.
import { createServer, type Server } from 'node:http'
import { type AddressInfo } from 'node:net'
import { afterAll, expect, test } from 'vitest'
import { endRun, network, reach, run, type Container } from '../../packages/core/src/container/index.js'
import { useBench } from '../runtime/bench.js'

useBench()
afterAll(endRun)

const sleeper = { command: ['sleep', '1000'] }

async function serve(text: string, host: string): Promise<Server & AsyncDisposable & { readonly port: number }> {
  const server = createServer((_, response) => { response.end(text) })
  await new Promise<void>((resolve) => { server.listen(0, host, resolve) })
  const dispose = (): Promise<void> => new Promise((resolve) => { server.closeAllConnections(); server.close(() => { resolve() }) })
  return Object.assign(server, { port: (server.address() as AddressInfo).port, [Symbol.asyncDispose]: dispose })
}

async function get(from: Container, url: string): Promise<string | undefined> {
  const { exitCode, stdout } = await from.exec(['wget', '-q', '-T', '2', '-O', '-', url])
  return exitCode === 0 ? stdout : undefined
}

test('a server of the test is reached by all containers while it is lent, and by none before and after', async () => {
  await using server = await serve('hello', '127.0.0.1')
  await using net = await network({ internal: true })
  await using lone = await run('busybox', sleeper)
  await using inside = await run('busybox', { ...sleeper, network: net })
  for (const each of [lone, inside]) expect(await get(each, `http://host.mayfly.internal:${server.port}/`)).toBeUndefined()
  const lent = await reach(server)
  expect(lent.url()).toBe(`http://host.mayfly.internal:${server.port}`)
  for (const each of [lone, inside]) {
    expect(await get(each, lent.url())).toBe('hello')
    expect(await get(each, `http://host.docker.internal:${server.port}/`)).toBe('hello')
  }
  await lent.close()
  for (const each of [lone, inside]) expect(await get(each, lent.url())).toBeUndefined()
})

test.each(['127.0.0.1', '::1', '::', '0.0.0.0'])('a server that listens on %s, for one container alone', async (host) => {
  await using server = await serve('mine', host)
  await using chosen = await run('busybox', sleeper)
  await using other = await run('busybox', sleeper)
  await using lent = await chosen.reach(server)
  expect(await get(chosen, lent.url())).toBe('mine')
  expect(await get(other, lent.url())).toBeUndefined()
  await using again = await other.reach(server)
  expect(await get(other, again.url())).toBe('mine')
})

test('a network is lent a server as a whole', async () => {
  await using server = await serve('ours', '127.0.0.1')
  await using net = await network()
  await using early = await run('busybox', { ...sleeper, network: net })
  await using lent = await net.reach(server)
  await using late = await run('busybox', { ...sleeper, network: net })
  await using stranger = await run('busybox', sleeper)
  expect([await get(early, lent.url()), await get(late, lent.url()), await get(stranger, lent.url())]).toEqual(['ours', 'ours', undefined])
})

test('ports of the host from the start, on either address of its loopback', async () => {
  await using four = await serve('four', '127.0.0.1')
  await using six = await serve('six', '::1')
  const script = `wget -q -O - http://host.mayfly.internal:${four.port}/; wget -q -O - http://host.docker.internal:${six.port}/; echo; sleep 1000`
  await using container = await run('busybox', { command: ['sh', '-c', script], hostPorts: [four.port, six.port], ready: { description: 'both', ready: async ({ container: one }) => { for await (const { text } of one.logs({ follow: true })) if (text === 'foursix') return } } })
  await using other = await run('busybox', sleeper)
  expect(await get(container, `http://host.mayfly.internal:${four.port}/`)).toBe('four')
  expect(await get(other, `http://host.mayfly.internal:${four.port}/`)).toBeUndefined()
})

test('the loopback of the host is nobody\'s', async () => {
  await using server = await serve('secret', '127.0.0.1')
  await using container = await run('busybox', sleeper)
  const gateway = (await container.exec(['sh', '-c', 'ip route | sed -n "s/default via \\([^ ]*\\).*/\\1/p"'])).stdout.trim()
  for (const host of ['127.0.0.1', '[::1]', gateway, 'host.mayfly.internal']) expect(await get(container, `http://${host}:${server.port}/`)).toBeUndefined()
})

test('what cannot be reached is refused by name', async () => {
  const closed = createServer()
  await expect(reach(closed)).rejects.toMatchObject({ code: 'ERR_MAYFLY_OPTION_INVALID', message: expect.stringContaining('does not listen') as string })
  await expect(reach(70_000)).rejects.toMatchObject({ code: 'ERR_MAYFLY_OPTION_INVALID' })
  await expect(reach({ address: () => '/run/x.sock' })).rejects.toMatchObject({ code: 'ERR_MAYFLY_OPTION_INVALID', message: expect.stringContaining('unix') as string })
  await expect(run('busybox', { ...sleeper, network: 'none', hostPorts: [80] })).rejects.toMatchObject({ code: 'ERR_MAYFLY_OPTION_INVALID' })
})

test('nobody at the port: refused, as it would be there', async () => {
  // Outside the range that the kernel gives away: a port just let go could be somebody's who accepts and says nothing.
  const port = 1
  await using container = await run('busybox', { ...sleeper, hostPorts: [port] })
  const { exitCode, stderr } = await container.exec(['wget', '-O', '-', `http://host.mayfly.internal:${port}/`])
  expect([exitCode, /reset|refused|error getting response/.test(stderr)]).toEqual([1, true])
})

// Published ports: tcp and udp, on both addresses of the loopback. Run as root and as an ordinary user.
import { createSocket } from 'node:dgram'
import { createServer, type AddressInfo } from 'node:net'
import { afterAll, expect, test } from 'vitest'
import { endRun, network, run, type Container } from '../../packages/core/src/container/index.js'
import { useBench } from '../runtime/bench.js'

useBench()
afterAll(endRun)

const sleeper = { command: ['sleep', '1000'], ready: { description: 'nothing', ready: () => Promise.resolve() } }
const web = ['sh', '-c', 'echo "$HOSTNAME" > /www.txt; exec httpd -f -p 80 -h /']
/** Answers every datagram with its address and text, in capitals. */
const shout = 'use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalPort => $ARGV[0], Proto => "udp") or die; print STDERR "up\n"; while (defined $s->recv(my $m, 65536)) { $s->send(uc $m) }'

function datagrams(container: Pick<Container, 'port'>, host: string, message: string, port = 53): Promise<string> {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4')
  return new Promise<string>((resolve, reject) => {
    const timer = setTimeout(() => { reject(new Error(`no answer from ${host}`)) }, 3000)
    socket.on('message', (reply) => { clearTimeout(timer); resolve(reply.toString()) })
    socket.on('error', reject)
    socket.send(message, container.port(port, 'udp'), host)
  }).finally(() => { socket.close() })
}

test('one number on 127.0.0.1 and ::1', async () => {
  await using container = await run('busybox', { command: web, ports: [80], loopback: true, hostname: 'both' })
  const port = container.port(80)
  for (const host of ['127.0.0.1', '[::1]']) expect(await (await fetch(`http://${host}:${port}/www.txt`)).text()).toBe('both\n')
  expect(container.urlOf(80)).toBe(`http://127.0.0.1:${port}`)
})

test('datagrams come and go, for every client its own', async () => {
  await using net = await network()
  await using container = await run('debian', {
    command: ['perl', '-e', shout, '53'], ports: ['53/udp'], loopback: true, network: net,
    ready: { description: 'its word', ready: async ({ container: one }) => { for await (const { text } of one.logs({ follow: true })) if (text === 'up') return } },
  })
  const clients = Array.from({ length: 20 }, (_, at) => `client ${at}`)
  expect(await Promise.all(clients.map((text, at) => datagrams(container, at % 2 === 0 ? '127.0.0.1' : '::1', text)))).toEqual(clients.map((text) => text.toUpperCase()))
  const large = 'x'.repeat(40_000)
  expect(await datagrams(container, '127.0.0.1', large)).toBe(large.toUpperCase())
  expect(() => container.port(53)).toThrow(expect.objectContaining({ code: 'ERR_MAYFLY_OPTION_INVALID' }) as Error)
})

test('ranges, fixed ones and those of an address', async () => {
  const free = await freePorts(2)
  const [first = 0] = free
  await using container = await run('busybox', { ...sleeper, loopback: true, ports: [`127.0.0.1:${first}:80`, '6000-6002', '6001-6002/udp', { container: 90, host: '20000-29000' }] })
  expect(container.port(80)).toBe(first)
  expect(new Set([6000, 6001, 6002].map((port) => container.port(port))).size).toBe(3)
  expect(container.port(6001, 'udp')).toBeGreaterThan(0)
  expect(container.port(90)).toBeGreaterThanOrEqual(20_000)
  expect(container.port(90)).toBeLessThanOrEqual(29_000)
  // The other address of the loopback is still anybody's.
  const server = createServer()
  await new Promise<void>((resolve, reject) => { server.once('error', reject); server.listen({ host: '::1', port: first, ipv6Only: true }, resolve) })
  server.close()
})

test('a preferred port is given up when it is taken, a fixed one names who has it', async () => {
  const server = createServer()
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  const { port } = server.address() as AddressInfo
  try {
    await using container = await run('busybox', { ...sleeper, loopback: true, ports: [{ container: 80, preferred: port }] })
    expect(container.port(80)).not.toBe(port)
    await expect(run('busybox', { ...sleeper, ports: [`${port}:80`] })).rejects.toMatchObject({
      code: 'ERR_MAYFLY_ADDRESS_IN_USE', details: { port, protocol: 'tcp', holder: expect.stringContaining(`(process ${process.pid})`) as string },
    })
    await expect(run('busybox', { ...sleeper, ports: [{ container: 80, host: `${port}-${port}` }] })).rejects.toMatchObject({ code: 'ERR_MAYFLY_ADDRESS_IN_USE' })
  } finally {
    server.close()
  }
  await using later = await run('busybox', { ...sleeper, loopback: true, ports: [{ container: 80, preferred: port }] })
  expect(later.port(80)).toBe(port)
  await expect(run('busybox', { ...sleeper, ports: [`${port}:80/udp`, `${port}:81/udp`] })).rejects.toMatchObject({ code: 'ERR_MAYFLY_ADDRESS_IN_USE', details: { protocol: 'udp' } })
})

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(Array.from({ length: count }, () => new Promise<ReturnType<typeof createServer>>((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => { resolve(server) })
  })))
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

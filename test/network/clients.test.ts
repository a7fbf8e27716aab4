// Clients and services that behave oddly; datagrams and IPv6 inside. Run as root and as an ordinary user.
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { afterAll, expect, test } from 'vitest'
import { endRun, network, run, wait, type Container } from '../../packages/core/src/container/index.js'
import { currentRun } from '../../packages/core/src/container/supervision.js'
import { until, useBench } from '../runtime/bench.js'

useBench()
afterAll(endRun)

const sleeper = { command: ['sleep', '1000'] }
/** Counts what a client sends until its end, and answers then. */
const counter = { command: ['perl', '-e', 'use IO::Socket::INET; $SIG{CHLD} = "IGNORE"; my $l = IO::Socket::INET->new(LocalPort => 80, Listen => 1000, ReuseAddr => 1) or die; while (my $c = $l->accept) { next if fork; my $n = 0; while (sysread($c, my $b, 65536)) { $n += length $b } syswrite($c, "got $n"); exit }'], ports: [80] }
const ways = [{ loopback: true }, { loopback: 'direct' }, {}] as const

async function client(container: Container): Promise<Socket> {
  const socket = connect({ host: container.host, port: container.port(80), allowHalfOpen: true })
  await once(socket, 'connect')
  return socket
}

async function answer(socket: Socket): Promise<string> {
  let text = ''
  socket.on('data', (data: Buffer) => { text += data.toString() })
  await once(socket, 'end')
  return text
}

test.each(ways)('a client that has said all it will say still gets its answer: %j', async (way) => {
  await using container = await run('debian', { ...counter, ...way })
  const socket = await client(container)
  const said = answer(socket)
  socket.write('x'.repeat(1_000_000))
  socket.end()
  expect(await said).toBe('got 1000000')
})

test.each(ways)('clients that say nothing keep nobody waiting, and leave nothing: %j', async (way) => {
  await using container = await run('debian', { ...counter, ...way })
  const { hello } = await currentRun()
  const descriptors = (): number => process.geteuid?.() === 0 ? readdirSync(`/proc/${hello.supervisorPid}/fd`).length : 0
  const before = descriptors()
  const silent = await Promise.all(Array.from({ length: 200 }, () => client(container)))
  const one = await client(container)
  one.end('hello')
  expect(await answer(one)).toBe('got 5')
  // Half of them go in order, half of them break.
  silent.forEach((socket, at) => { socket.on('error', () => undefined); if (at % 2 === 0) socket.destroy(); else socket.resetAndDestroy() })
  // A slot of the next container takes some, too.
  await until(() => descriptors() < before + 60)
  const last = await client(container)
  last.end('x')
  expect(await answer(last)).toBe('got 1')
})

test('whatever told that a service is ready, its published port is open by then', async () => {
  const command = ['perl', '-e', 'use IO::Socket::INET; my $l = IO::Socket::INET->new(LocalPort => 80, Listen => 10) or die; print STDERR "up\\n"; while (my $c = $l->accept) { syswrite($c, "hello"); close $c }']
  for (let round = 0; round < 20; round += 1) {
    await using container = await run('debian', { command, ports: [80], loopback: true, ready: wait.log('up') })
    expect(await answer(await client(container))).toBe('hello')
  }
})

test('a client that comes before the service, and one that comes after its end, are refused', async () => {
  await using container = await run('debian', { ...counter, loopback: true, stdin: true, command: ['sh', '-c', 'read x; exec "$@"', 'sh', ...counter.command], ready: { description: 'nothing', ready: () => Promise.resolve() } })
  const refused = async (): Promise<string> => await client(container).then((socket) => { socket.destroy(); return 'connected' }, (error: NodeJS.ErrnoException) => error.code ?? '')
  expect(await refused()).toBe('ECONNREFUSED')
  const { stdin } = await container.attach()
  stdin?.write('\n')
  await until(async () => await refused() === 'connected')
})

const shout = 'use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalPort => 53, Proto => "udp") or die; print STDERR "up\\n"; while (defined $s->recv(my $m, 65536)) { $s->send(uc $m) }'

test('datagrams between containers by name, and from the test at the container\'s address', async () => {
  await using net = await network()
  await using server = await run('debian', { command: ['perl', '-e', shout], ports: ['53/udp'], network: net, aliases: ['shout'], ready: wait.log('up') })
  await using asker = await run('debian', { ...sleeper, network: net })
  const { stdout } = await asker.exec(['bash', '-c', 'exec 3<>/dev/udp/shout/53; printf hello >&3; timeout 5 dd bs=100 count=1 <&3 2>/dev/null'])
  expect(stdout).toBe('HELLO')
  const socket = createSocket('udp4')
  socket.send('from the test', server.port(53, 'udp'), server.host)
  expect(String((await once(socket, 'message') as [Buffer])[0])).toBe('FROM THE TEST')
  socket.close()
})

test('a container has the loopback of IPv6, too', async () => {
  await using container = await run('busybox', { command: ['httpd', '-f', '-p', '[::1]:80'], ready: wait.exec(['wget', '-q', '-O', '/dev/null', 'http://[::1]/bin/busybox']) })
  expect((await container.exec(['ip', 'addr', 'show', 'lo'])).stdout).toContain('inet6 ::1/128')
})

test('aliases that clash: one\'s own twice, in capitals, another\'s, another\'s name', async () => {
  await using net = await network()
  await using one = await run('busybox', { ...sleeper, network: net, name: 'one', aliases: ['db', 'DB', 'db', 'one'] })
  expect((await one.exec(['nslookup', 'Db'])).stdout.match(/Address.*198\.1[89]\..*\b/g)?.filter((line) => line.endsWith(one.ip))).toHaveLength(1)
  await using two = await run('busybox', { ...sleeper, network: net, aliases: ['db', 'one'] })
  // As in Docker, a name of several is any of theirs.
  const found = async (name: string): Promise<string[]> => [...(await two.exec(['nslookup', name])).stdout.matchAll(/^Address(?: \d+)?: (198\.\d+\.\d+\.\d+)/gm)].map(([, ip]) => ip ?? '').filter((ip) => ip !== net.gateway).sort()
  for (const name of ['db', 'one']) expect([name, await found(name)]).toEqual([name, [one.ip, two.ip].sort()])
  await two[Symbol.asyncDispose]()
  expect((await one.exec(['nslookup', 'one'])).exitCode).toBe(0)
})

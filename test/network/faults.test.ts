// What goes wrong on purpose: between clients and containers, and between containers. Run as root and as an ordinary user.
import { spawn } from 'node:child_process'
import { createSocket, type Socket as DatagramSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterAll, expect, test } from 'vitest'
import { endRun, network, run, wait, type Container } from '../../packages/core/src/container/index.js'
import { useBench } from '../runtime/bench.js'

useBench()
afterAll(endRun)

const cache = { ports: [6379] }
const web = { command: ['sh', '-c', 'head -c 300000 /dev/zero > /large; echo hello > /www.txt; exec httpd -f -p 80 -h /'], ports: [80] }
/** Without root, the machine's side of a port is copied: its client hears of a break what the copying supervisor tells it. */
const rootful = process.geteuid?.() === 0
const grouped = process.env['MAYFLY_TEST_CGROUPS'] !== 'none'
const sleeper = { command: ['sleep', '1000'] }

/** A connection to a Redis server that sends one PING after the other. */
async function client(container: Container): Promise<{ socket: Socket; ping(): Promise<number> }> {
  const socket = connect({ host: container.host, port: container.port(6379), noDelay: true })
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  const ping = async (): Promise<number> => {
    const began = performance.now()
    socket.write('PING\r\n')
    const [answer] = await Promise.race([once(socket, 'data'), once(socket, 'close').then(() => { throw new Error('closed') })]) as [Buffer]
    expect(answer.toString()).toBe('+PONG\r\n')
    return performance.now() - began
  }
  return { socket, ping }
}

function closing(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    let code = 'ended'
    socket.once('error', (error: NodeJS.ErrnoException) => { code = error.code ?? '' })
    socket.once('close', () => { resolve(code) })
  })
}

test('latency is added to what passes, and taken away, on connections that are open', async () => {
  await using redis = await run('redis', cache)
  const { socket, ping } = await client(redis)
  await ping()
  const slow = await redis.faults.latency({ ms: 80 })
  expect(slow.description).toBe('latency of 80 ms, down')
  for (let i = 0; i < 3; i += 1) expect(await ping()).toBeGreaterThanOrEqual(79)
  await slow.clear()
  expect(await ping()).toBeLessThan(40)
  {
    await using _ = await redis.faults.latency({ ms: 60, jitter: 20, direction: 'both' })
    expect(await ping()).toBeGreaterThanOrEqual(79)
  }
  expect(await ping()).toBeLessThan(40)
  socket.destroy()
})

test('a line of little bandwidth takes its time', async () => {
  await using server = await run('busybox', web)
  const began = performance.now()
  await using _ = await server.faults.bandwidth({ rate: '200k', direction: 'down' })
  const body = await (await server.fetch('/large')).arrayBuffer()
  expect(body.byteLength).toBe(300_000)
  expect(performance.now() - began).toBeGreaterThan(1300)
})

test('a timeout is silence in either direction or one, and what was sent meanwhile arrives when it is over', async () => {
  await using redis = await run('redis', cache)
  const { socket, ping } = await client(redis)
  await ping()
  for (const direction of ['up', 'down', 'both'] as const) {
    const silence = await redis.faults.timeout({ direction })
    const late = ping()
    expect(await Promise.race([late, new Promise((resolve) => { setTimeout(resolve, 300, 'silence') })])).toBe('silence')
    await silence.clear()
    expect(await late).toBeGreaterThan(299)
  }
  socket.destroy()
})

test('a cut breaks connections, silent ones too, and refuses new ones until it is undone', async () => {
  await using redis = await run('redis', cache)
  const { socket } = await client(redis)
  const broken = closing(socket)
  const cut = await redis.faults.cut()
  expect(await broken).toBe('ECONNRESET')
  expect(await closing(connect(redis.port(6379), redis.host))).toBe(rootful ? 'ECONNREFUSED' : 'ECONNRESET')
  await cut.clear()
  await (await client(redis)).ping()
})

test('a cut after so many bytes lets exactly those through', async () => {
  await using server = await run('busybox', web)
  await using _ = await server.faults.cut({ after: 100_001, direction: 'down' })
  for (let i = 0; i < 2; i += 1) {
    const socket = connect(server.port(80), server.host)
    let count = 0
    socket.on('data', (bytes) => { count += bytes.length })
    const broken = closing(socket)
    socket.write('GET /large HTTP/1.0\r\n\r\n')
    // Node takes data and a reset that come together for an end.
    expect(['ECONNRESET', 'ended']).toContain(await broken)
    expect(count).toBe(100_001)
  }
  // Who stays below it notices nothing.
  expect(await (await server.fetch('/www.txt')).text()).toBe('hello\n')
})

test('a reset breaks what is connected, once', async () => {
  await using redis = await run('redis', cache)
  const broken = [closing((await client(redis)).socket), closing((await client(redis)).socket)]
  expect(await redis.faults.reset({ port: 1 })).toBe(0)
  expect(await redis.faults.reset()).toBe(2)
  expect(await Promise.all(broken)).toEqual(['ECONNRESET', 'ECONNRESET'])
  await (await client(redis)).ping()
})

test('a slow close keeps the end back, not the data', async () => {
  await using server = await run('busybox', web)
  await using _ = await server.faults.slowClose({ ms: 400 })
  const socket = connect({ host: server.host, port: server.port(80), allowHalfOpen: true })
  socket.write('GET /www.txt HTTP/1.0\r\n\r\n')
  const [data] = await once(socket, 'data') as [Buffer]
  const began = performance.now()
  socket.resume()
  await once(socket, 'end')
  expect(performance.now() - began).toBeGreaterThan(350)
  expect(data.toString()).toContain('200 OK')
  socket.destroy()
})

test('ports of the loopback have the faults as well', async () => {
  await using redis = await run('redis', { ...cache, loopback: true })
  const { socket, ping } = await client(redis)
  await ping()
  const slow = await redis.faults.latency({ ms: 80 })
  expect(await ping()).toBeGreaterThanOrEqual(79)
  await slow.clear()
  const broken = closing(socket)
  await using _ = await redis.faults.cut()
  expect(await broken).toBe('ECONNRESET')
  expect(await closing(connect(redis.port(6379), '127.0.0.1').resume())).toBe('ECONNRESET')
})

test('a partition: two sides of a network that do not hear of each other', async () => {
  await using net = await network()
  const [a, b, c] = await Promise.all(['a', 'b', 'c'].map((name) => run('busybox', { ...web, network: net, aliases: [name] })))
  if (a === undefined || b === undefined || c === undefined) throw new Error('three were started')
  const asks = async (from: Container, to: string): Promise<boolean> => (await from.exec(['wget', '-q', '-T', '1', '-O', '-', `http://${to}/www.txt`])).exitCode === 0
  {
    await using _ = await net.partition(a, b)
    expect(await Promise.all([asks(a, 'b'), asks(b, 'a'), asks(a, 'c'), asks(c, 'b')])).toEqual([false, false, true, true])
    expect((await a.fetch('/www.txt')).status).toBe(200)
  }
  expect(await Promise.all([asks(a, 'b'), asks(b, 'a')])).toEqual([true, true])
  const half = await net.partition([a, b], [c])
  expect(await Promise.all([asks(a, 'b'), asks(a, 'c'), asks(c, 'b')])).toEqual([true, false, false])
  await half.clear()
  expect(await asks(c, 'a')).toBe(true)
  await using lone = await run('busybox', sleeper)
  await expect(net.partition(a, lone)).rejects.toMatchObject({ code: 'ERR_MAYFLY_OPTION_INVALID' })
  await Promise.all([a, b, c].map((each) => each.stop({ timeout: 0 })))
})

test('a partition in one direction: what the one says is heard, the other is not', async () => {
  await using net = await network()
  const hearing = { command: ['perl', '-e', 'use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalPort => 53, Proto => "udp") or die; $| = 1; print "up\\n"; while (defined $s->recv(my $m, 65536)) { print "$m\\n" }'], network: net, ready: wait.log('up') }
  await using a = await run('debian', { ...hearing, aliases: ['a'] })
  await using b = await run('debian', { ...hearing, aliases: ['b'] })
  const says = (from: Container, to: string, text: string): ReturnType<Container['exec']> => from.exec(['bash', '-c', `printf ${text} >/dev/udp/${to}/53`])
  const heard = async (by: Container, text: string): Promise<string[]> => {
    const lines: string[] = []
    for await (const line of by.logs({ follow: true })) if (lines.push(line.text) > 0 && line.text === text) break
    return lines.slice(1)
  }
  const deaf = await net.partition(a, b, { direction: 'up' })
  expect(deaf.description).toMatch(/^partition of .*, up$/)
  await Promise.all([says(a, 'b', 'one'), says(b, 'a', 'lost')])
  expect(await heard(b, 'one')).toEqual(['one'])
  await deaf.clear()
  const dumb = await net.partition(a, b, { direction: 'down' })
  await Promise.all([says(a, 'b', 'lost'), says(b, 'a', 'two')])
  expect(await heard(a, 'two')).toEqual(['two'])
  await dumb.clear()
  await says(a, 'b', 'three')
  expect(await heard(b, 'three')).toEqual(['one', 'three'])
  await expect(net.partition(a, b, { direction: 'left' as 'up' })).rejects.toMatchObject({ code: 'ERR_MAYFLY_OPTION_INVALID' })
})

test('a fault for one peer alone, also on a network joined later', async () => {
  await using net = await network()
  await using db = await run('redis', { network: net, aliases: ['db'] })
  await using near = await run('redis', { network: net })
  await using far = await run('redis', {})
  const asks = async (from: Container, host: string): Promise<boolean> =>
    (await from.exec(['timeout', '1', 'redis-cli', '-h', host, 'PING'])).stdout === 'PONG\n'
  await db.faults.timeout({ peer: near })
  expect(await asks(near, 'db')).toBe(false)
  expect((await client(db)).socket.destroy().destroyed).toBe(true)
  await far.faults.timeout()
  await net.connect(far, { aliases: ['far'] })
  expect(await asks(far, 'db')).toBe(false)
  await far.faults.clear()
  expect(await asks(far, 'db')).toBe(true)
  await net.disconnect(far)
  await expect(db.faults.cut({ peer: { id: 'nobody' } })).rejects.toMatchObject({ code: 'ERR_MAYFLY_CONTAINER_NOT_FOUND' })
})

test('what clients of PostgreSQL make of it', async () => {
  await using net = await network()
  await using db = await run('postgres', { network: net, aliases: ['db'], env: { POSTGRES_HOST_AUTH_METHOD: 'trust' } })
  await using other = await run('postgres', { network: net, command: ['sleep', '1000'], entrypoint: [], ready: { description: 'nothing', ready: () => Promise.resolve() } })
  const psql = (sql: string): ReturnType<Container['exec']> => other.exec(['psql', '-h', 'db', '-U', 'postgres', '-Atc', sql], { env: { PGCONNECT_TIMEOUT: '2' } })
  await expect.poll(async () => (await psql('SELECT 1')).stdout, { timeout: 20_000 }).toBe('1\n')
  const query = psql('SELECT pg_sleep(20)')
  await expect.poll(async () => (await psql('SELECT count(*) FROM pg_stat_activity WHERE query ~ \'^SELECT pg_sleep\'')).stdout).toBe('1\n')
  const cut = await db.faults.cut({ port: 5432 })
  expect((await query).stderr).toMatch(/server closed the connection|connection reset|Connection reset/i)
  expect((await psql('SELECT 1')).stderr).toContain('Connection refused')
  await cut.clear()
  await using _ = await db.faults.timeout({ peer: other })
  expect((await psql('SELECT 1')).stderr).toContain('timeout expired')
})

test.runIf(grouped)('a container that stands still, and one that is killed', async () => {
  await using redis = await run('redis', cache)
  const { ping } = await client(redis)
  await ping()
  const pause = await redis.faults.pause()
  const late = ping()
  expect(await Promise.race([late, new Promise((resolve) => { setTimeout(resolve, 200, 'silence') })])).toBe('silence')
  await pause.clear()
  await late
  await redis.faults.kill()
  expect(await redis.exit).toMatchObject({ signal: 'SIGKILL' })
  // Of what has ended, a fault is cleared silently.
  await redis.faults.clear()
})

test.runIf(grouped)('memory pressure ends who takes more than there is', async () => {
  await using hungry = await run('busybox', { command: ['sh', '-c', 'read line; exec tail /dev/zero'], stdin: true, memory: '64m' })
  const memory = await hungry.faults.memory({ free: '4m' })
  await memory.clear()
  await hungry.faults.memory({ free: '4m' })
  const { stdin } = await hungry.attach()
  stdin?.write('\n')
  expect(await hungry.exit).toMatchObject({ oomKilled: true })
})

test('a full disk, where it has a size', async () => {
  await using container = await run('busybox', { ...sleeper, storage: '8m' })
  const write = (size: string): ReturnType<Container['exec']> => container.exec(['dd', 'if=/dev/zero', 'of=/file', `bs=${size}`, 'count=1'])
  expect((await write('20M')).stderr).toContain('No space left on device')
  expect((await write('1M')).exitCode).toBe(0)
  const full = await container.faults.disk({ free: '256k' })
  expect((await write('100k')).exitCode).toBe(0)
  expect((await write('2M')).stderr).toContain('No space left on device')
  await full.clear()
  expect((await write('2M')).exitCode).toBe(0)
  await using other = await run('busybox', sleeper)
  await expect(other.faults.disk()).rejects.toMatchObject({ code: 'ERR_MAYFLY_UNSUPPORTED' })
  await expect(run('busybox', { ...sleeper, storage: '8m', scratch: 'disk' })).rejects.toMatchObject({ code: 'ERR_MAYFLY_OPTION_INVALID' })
})

test('where nothing can go wrong, and values that mean nothing', async () => {
  await using lone = await run('busybox', { ...sleeper, network: 'none' })
  await expect(lone.faults.cut()).rejects.toMatchObject({ code: 'ERR_MAYFLY_UNSUPPORTED' })
  await using other = await run('busybox', sleeper)
  for (const wrong of [
    () => other.faults.latency({ ms: -1 }), () => other.faults.latency({ ms: Number.NaN }), () => other.faults.bandwidth({ rate: 0 }),
    () => other.faults.cut({ after: 1.5 }), () => other.faults.cut({ port: 70_000 }), () => other.faults.timeout({ direction: 'left' as 'up' }),
  ]) await expect(Promise.resolve().then(wrong)).rejects.toMatchObject({ code: 'ERR_MAYFLY_OPTION_INVALID' })
})

const shout = 'use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalPort => 53, Proto => "udp") or die; print STDERR "up\\n"; while (defined $s->recv(my $m, 65536)) { $s->send(uc $m) }'
const shouting = { command: ['perl', '-e', shout], ports: ['53/udp'], ready: wait.log('up') }

/** Sends a datagram to a server that shouts back; milliseconds until the answer. */
async function asks(server: Container, socket: DatagramSocket, text: string, patience = 5000): Promise<number> {
  const began = performance.now()
  socket.send(text, server.port(53, 'udp'), server.host)
  const [answer] = await once(socket, 'message', { signal: AbortSignal.timeout(patience) }) as [Buffer]
  expect(answer.toString()).toBe(text.toUpperCase())
  return performance.now() - began
}

test('datagrams are late, or lost', async () => {
  await using server = await run('debian', shouting)
  const socket = createSocket('udp4')
  await asks(server, socket, 'one')
  {
    await using _ = await server.faults.latency({ ms: 80, protocol: 'udp' })
    expect(await asks(server, socket, 'two')).toBeGreaterThanOrEqual(79)
  }
  {
    await using _ = await server.faults.cut({ protocol: 'udp', after: 1 })
    await expect(asks(server, socket, 'three', 400)).rejects.toMatchObject({ name: 'AbortError' })
  }
  await using _ = await server.faults.timeout({ protocol: 'tcp' })
  await asks(server, socket, 'four')
  socket.close()
})

test('no datagram is lost while a fault is laid or taken up, however busy the kernel is with other networks', async () => {
  await using server = await run('debian', shouting)
  const socket = createSocket('udp4')
  // Each comes and goes with the lock that a new interface's first word waits for.
  const busy = [1, 2, 3].map(() => spawn('sh', ['-c', `while :; do ${rootful ? '' : 'unshare -r '}unshare -n true; done`], { stdio: 'ignore' }))
  try {
    for (let round = 0; round < 60; round += 1) {
      {
        await using _ = await server.faults.latency({ ms: 1, protocol: 'udp' })
        await asks(server, socket, 'laid')
      }
      await asks(server, socket, 'taken up')
    }
  } finally {
    for (const one of busy) one.kill()
    socket.close()
  }
}, 60_000)

test.runIf(!grouped)('without cgroups nothing stands still, and that is said', async () => {
  await using container = await run('busybox', sleeper)
  await expect(container.faults.pause()).rejects.toMatchObject({ code: 'ERR_MAYFLY_LIMIT_UNSUPPORTED' })
  await expect(container.faults.memory({ free: 0 })).rejects.toMatchObject({ code: 'ERR_MAYFLY_LIMIT_UNSUPPORTED' })
})

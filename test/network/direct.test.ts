// Ports whose sockets are handed to the service: loopback: 'direct'. Run as root and as an ordinary user.
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { afterAll, afterEach, expect, test } from 'vitest'
import { endRun, network, run, wait, type Container } from '../../packages/core/src/container/index.js'
import { until, useBench } from '../runtime/bench.js'

useBench()
afterAll(endRun)
afterEach(() => { delete process.env['MAYFLY_NATIVE_OFF'] })

const direct = { loopback: 'direct' } as const

/** What the server says to one line, or why it does not. */
function ask(host: string, port: number, text: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host, port }, () => socket.write(`${text}\r\n`))
    socket.once('data', (data) => { socket.destroy(); resolve(data.toString()) })
    socket.once('error', (error: NodeJS.ErrnoException) => { resolve(error.code ?? '') })
    socket.once('close', () => { resolve('closed') })
  })
}

/** The address at which Redis took the connection. */
async function seenAt(host: string, port: number): Promise<string | undefined> {
  return / laddr=(\S+) /.exec(await ask(host, port, 'CLIENT INFO'))?.[1]
}

/** A server of perl that says what it knows of its socket to whoever comes. */
const server = (setting: string, address: string): string => `use Socket qw(:all); use Fcntl; use POSIX ();
  ${setting}
  bind($s, ${address}) or die "bind: $!"; listen($s, 5) or die "listen: $!"; print STDERR "up\\n";
  my $flags = fcntl($s, F_GETFL, 0); fcntl($s, F_SETFL, $flags & ~O_NONBLOCK);
  while (accept(my $c, $s)) {
    my $line = <$c>;
    my $keep = unpack("i", getsockopt($s, SOL_SOCKET, SO_KEEPALIVE)); my $late = unpack("i", getsockopt($s, IPPROTO_TCP, 4));
    printf $c "%s %d %d %d", $keep ? "keepalive" : "plain", $late, $flags & O_NONBLOCK ? 1 : 0, fcntl($s, F_GETFD, 0) & FD_CLOEXEC; close $c }`
const four = 'pack_sockaddr_in(80, INADDR_ANY)'
const six = 'pack_sockaddr_in6(80, IN6ADDR_ANY)'
const up = wait.log('up')

test('a service listens on the machine\'s socket itself, on both addresses', async () => {
  await using redis = await run('redis', { ...direct, ports: [6379], command: ['redis-server', '--protected-mode', 'no'] })
  const port = redis.port(6379)
  expect(redis.urlOf(6379, 'redis')).toBe(`redis://127.0.0.1:${port}`)
  expect(await seenAt('127.0.0.1', port)).toBe(`127.0.0.1:${port}`)
  expect(await seenAt('::1', port)).toBe(`[::1]:${port}`)
  // Nobody else listens: neither in the container nor anywhere it could be copied to.
  expect((await redis.exec(['redis-cli', 'PING'])).stderr).toContain('Connection refused')
})

test('where the kernel does not ask, the port is copied', async () => {
  await endRun()
  process.env['MAYFLY_NATIVE_OFF'] = 'notify'
  await using redis = await run('redis', { ...direct, ports: [6379], command: ['redis-server', '--protected-mode', 'no'] })
  const port = redis.port(6379)
  for (const host of ['127.0.0.1', '::1']) expect(await seenAt(host, port)).toMatch(/:6379$/)
  expect((await redis.exec(['redis-cli', 'PING'])).stdout).toBe('PONG\n')
  await endRun()
})

test.each([
  ['IPv4 alone', `socket(my $s, AF_INET, SOCK_STREAM, 0);`, four],
  ['both families in one', `socket(my $s, AF_INET6, SOCK_STREAM, 0); setsockopt($s, IPPROTO_IPV6, IPV6_V6ONLY, 0);`, six],
  ['IPv6 alone', `socket(my $s, AF_INET6, SOCK_STREAM, 0); setsockopt($s, IPPROTO_IPV6, IPV6_V6ONLY, 1);`, six],
])('a service of %s is reached at either address of the loopback', async (_, setting, address) => {
  await using container = await run('debian', { ...direct, command: ['perl', '-e', server(setting, address)], ports: [80] })
  const port = container.port(80)
  for (const host of ['127.0.0.1', '::1']) expect([host, await ask(host, port, 'x')]).toEqual([host, 'plain 7200 0 1'])
})

test('what was set on the socket before is set again', async () => {
  const setting = `socket(my $s, AF_INET, SOCK_STREAM, 0); setsockopt($s, SOL_SOCKET, SO_KEEPALIVE, 1); setsockopt($s, IPPROTO_TCP, 4, 77);
    fcntl($s, F_SETFL, fcntl($s, F_GETFL, 0) | O_NONBLOCK);`
  await using container = await run('debian', { ...direct, command: ['perl', '-e', server(setting, four)], ports: [80] })
  expect(await ask('127.0.0.1', container.port(80), 'x')).toBe('keepalive 77 1 1')
  await using open = await run('debian', { ...direct, command: ['perl', '-e', server(`${setting} fcntl($s, F_SETFD, 0);`, four)], ports: [80] })
  expect(await ask('127.0.0.1', open.port(80), 'x')).toBe('keepalive 77 1 0')
})

test('until it listens connections are refused, and when the container has ended again', async () => {
  const command = ['perl', '-e', server('$_ = <STDIN>; socket(my $s, AF_INET, SOCK_STREAM, 0);', four)]
  await using container = await run('debian', { ...direct, command, ports: [80], stdin: true, ready: { description: 'nothing', ready: () => Promise.resolve() } })
  const port = container.port(80)
  expect(await ask('127.0.0.1', port, 'x')).toBe('ECONNREFUSED')
  const { stdin } = await container.attach()
  stdin?.write('\n')
  await until(async () => (await ask('127.0.0.1', port, 'x')).startsWith('plain'))
  await container.kill()
  await container.exit
  for (const host of ['127.0.0.1', '::1']) await until(async () => await ask(host, port, 'x') === 'ECONNREFUSED')
  // Nobody else gets the number before the container is removed.
  const taken = (host: string): Promise<string> => new Promise((resolve) => {
    const other = createServer().once('error', (error: NodeJS.ErrnoException) => { resolve(error.code ?? '') })
    other.listen({ host, port, ipv6Only: true }, () => { other.close(() => { resolve('free') }) })
  })
  for (const host of ['127.0.0.1', '::1']) expect([host, await taken(host)]).toEqual([host, 'EADDRINUSE'])
  await container.stop()
  for (const host of ['127.0.0.1', '::1']) await until(async () => await taken(host) === 'free')
})

test('a server that is started again in the container listens again', async () => {
  const once_ = server('socket(my $s, AF_INET, SOCK_STREAM, 0); setsockopt($s, SOL_SOCKET, SO_REUSEADDR, 1);', four).replace('close $c }', 'close $c; exit }')
  await using container = await run('debian', { ...direct, command: ['sh', '-c', 'for i in 1 2 3; do perl -e "$0"; done; sleep 1000', once_], ports: [80] })
  // Between two of them nobody listens.
  for (let i = 0; i < 3; i += 1) await until(async () => (await ask('127.0.0.1', container.port(80), 'x')).startsWith('plain'))
})

test('a server that ends while its container goes on leaves nobody waiting, and the next one listens again', async () => {
  const script = server('socket(my $s, AF_INET, SOCK_STREAM, 0); setsockopt($s, SOL_SOCKET, SO_REUSEADDR, 1);', four)
  // The first gives its socket to a child and ends: that one has it then.
  const forking = script.replace('print STDERR', () => 'exit if fork; open my $f, ">", "/pid"; print $f $$; close $f; print STDERR')
  const command = ['sh', '-c', 'while read -r n; do if [ $n = up ]; then perl -e "$0" & elif [ $n = down ]; then kill $(cat /pid); fi; done', forking]
  await using container = await run('debian', { ...direct, command, ports: [80], stdin: true, ready: { description: 'nothing', ready: () => Promise.resolve() } })
  const port = container.port(80)
  const { stdin } = await container.attach()
  for (let round = 0; round < 2; round += 1) {
    stdin?.write('up\n')
    await until(async () => (await ask('127.0.0.1', port, 'x')).startsWith('plain'))
    // Whoever is looked for once too often is still there.
    await new Promise((resolve) => { setTimeout(resolve, 250) })
    for (const host of ['127.0.0.1', '::1']) expect([host, await ask(host, port, 'x')]).toEqual([host, 'plain 7200 0 1'])
    stdin?.write('down\n')
    // Those that come before it is noticed are told, too.
    await until(async () => await ask('127.0.0.1', port, 'x') === 'ECONNREFUSED')
    await until(async () => await ask('::1', port, 'x') === 'ECONNREFUSED')
  }
})

test('a container that is started again listens under the same number, without and with a file of its own', async () => {
  for (const copy of [[], [{ content: 'hello', target: '/www.txt' }]]) {
    await using container = await run('busybox', { ...direct, command: ['httpd', '-f', '-p', '80', '-h', '/'], ports: [80], copy })
    const port = container.port(80)
    const status = async (host: string): Promise<number> => (await fetch(`http://${host}:${port}/www.txt`)).status
    const expected = copy.length === 0 ? 404 : 200
    expect(await Promise.all(['127.0.0.1', '[::1]'].map(status))).toEqual([expected, expected])
    await container.restart({ timeout: 0 })
    expect([container.port(80), ...await Promise.all(['127.0.0.1', '[::1]'].map(status))]).toEqual([port, expected, expected])
    expect((await container.exec(['wget', '-O', '-', 'http://127.0.0.1:80/'])).stderr).toContain('refused')
  }
})

test('what it does not concern is left alone: other ports, the loopback of its own, datagrams', async () => {
  const command = `httpd -p 127.0.0.1:80 && httpd -p 81 && httpd -f -p 82`
  await using container = await run('busybox', { ...direct, command, ports: [82] })
  const inside = (port: number): Promise<{ stderr: string }> => container.exec(['wget', '-O', '-', `http://127.0.0.1:${port}/none`])
  for (const port of [80, 81]) expect((await inside(port)).stderr).toContain('404')
  expect((await inside(82)).stderr).toContain('refused')
  expect((await container.fetch('/none')).status).toBe(404)
})

test('a half-open client holds nobody up', async () => {
  await using redis = await run('redis', { ...direct, ports: [6379] })
  const silent = connect({ host: '127.0.0.1', port: redis.port(6379), allowHalfOpen: true })
  await once(silent, 'connect')
  silent.end()
  expect(await ask('127.0.0.1', redis.port(6379), 'PING')).toBe('+PONG\r\n')
  silent.destroy()
})

test('what it cannot go with is refused', async () => {
  await using net = await network()
  const attempt = (options: object): Promise<Container> => run('busybox', { command: ['sleep', '1000'], ...direct, ...options })
  for (const options of [{ network: net }, { network: 'none' }, { privileged: true }, { capAdd: ['net_admin'] }, { ports: ['8080:80', '8081:80'] }]) {
    await expect(attempt(options)).rejects.toMatchObject({ code: 'ERR_MAYFLY_OPTION_INVALID' })
  }
  await using container = await attempt({})
  await expect(container.faults.cut()).rejects.toMatchObject({ code: 'ERR_MAYFLY_UNSUPPORTED', hint: expect.stringContaining('loopback: true') as string })
  await expect(container.faults.reset()).rejects.toMatchObject({ code: 'ERR_MAYFLY_UNSUPPORTED' })
})

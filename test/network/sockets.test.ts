// Unix sockets of containers, and what is said of services that nobody gets through to. Run as root and as an ordinary user.
import { existsSync, statSync } from 'node:fs'
import { connect } from 'node:net'
import { dirname } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { endRun, run } from '../../packages/core/src/container/index.js'
import { useBench } from '../runtime/bench.js'
import { until } from '../runtime/bench.js'

useBench()
afterAll(endRun)

/** Echoes what comes in on unix sockets, in capitals. */
const echo = 'use Socket; use IO::Socket::UNIX; mkdir "/run/app"; my @l = map { IO::Socket::UNIX->new(Local => $_, Listen => 5) or die $! } @ARGV; print STDERR "up\\n"; for my $l (@l) { next if fork; while (my $c = $l->accept) { while (my $x = <$c>) { print $c uc $x } close $c } } wait'
const up = { description: 'its word', ready: async ({ container }: { container: { logs: (options: { follow: boolean }) => AsyncIterable<{ text: string }> } }) => { for await (const { text } of container.logs({ follow: true })) if (text === 'up') return } }

function ask(path: string, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(path, () => socket.write(`${text}\n`))
    socket.once('data', (data) => { socket.destroy(); resolve(data.toString().trim()) })
    socket.once('error', reject)
    socket.once('close', () => { reject(new Error('closed')) })
  })
}

test('a socket, a directory of sockets, and their end', async () => {
  const container = await run('debian', { command: ['perl', '-e', echo, '/run/app/one.sock', '/run/app/two.sock'], ready: up })
  const path = await container.socket('/run/app/one.sock')
  expect(await ask(path, 'hello')).toBe('HELLO')
  expect(statSync(dirname(path)).mode & 0o777).toBe(0o700)
  const directory = await container.socket('/var/run/app/')
  expect(await ask(`${directory}/two.sock`, 'more')).toBe('MORE')
  expect(await container.socket('/run/app/one.sock')).toBe(path)
  expect(Buffer.byteLength(path)).toBeLessThan(100)
  await expect(container.socket('/run/none.sock')).rejects.toMatchObject({ code: 'ERR_MAYFLY_OPTION_INVALID', hint: expect.stringContaining('/run/app/one.sock') as string })
  await container.stop({ timeout: 0 })
  await until(() => !existsSync(dirname(path)) && !existsSync(directory))
})

test('a service that only its own container reaches is not ready, and told why', async () => {
  const started = (command: string[], ports: number[]): Promise<unknown> => run('busybox', { command, ports, startTimeout: 700 })
  await expect(started(['httpd', '-f', '-p', '127.0.0.1:80'], [80])).rejects.toMatchObject({ code: 'ERR_MAYFLY_TIMEOUT', hint: expect.stringContaining('at 127.0.0.1 inside the container alone') as string })
  await expect(started(['httpd', '-f', '-p', '8080'], [80])).rejects.toMatchObject({ code: 'ERR_MAYFLY_TIMEOUT', hint: expect.stringContaining('It listens on port 8080, not on 80') as string })
  const six = 'use Socket; use Socket qw(:all); socket(my $s, AF_INET6, SOCK_STREAM, 0); setsockopt($s, IPPROTO_IPV6, 26, 1) or die $!; bind($s, pack_sockaddr_in6(80, inet_pton(AF_INET6, "::"))) or die $!; listen($s, 5); sleep 1000'
  await expect(run('debian', { command: ['perl', '-e', six], ports: [80], startTimeout: 700 })).rejects.toMatchObject({ hint: expect.stringContaining('by IPv6 alone') as string })
  await expect(run('debian', { command: ['perl', '-e', echo, '/run/app/only.sock'], ports: [80], startTimeout: 700 })).rejects.toMatchObject({ hint: expect.stringContaining('unix socket /run/app/only.sock') as string })
})

// What anybody may do with a container, whoever runs it: these tests run as root and as an ordinary user.
import { readFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { afterAll, expect, test } from 'vitest'
import { endRun, openHeldAddress, run, wait, type Container } from '../../packages/core/src/container/index.js'
import { useBench } from './bench.js'

useBench()
afterAll(endRun)
const root = process.geteuid?.() === 0
const sleeper = { command: ['sleep', '1000'] }

async function shell(container: Container, script: string, user?: string): Promise<string> {
  const { exitCode, stdout, stderr } = await container.exec(['sh', '-c', script], user === undefined ? {} : { user })
  expect([stderr, exitCode]).toEqual(['', 0])
  return stdout.trim()
}

test('a container is root of itself, and of nothing else', async () => {
  await using container = await run('busybox', sleeper)
  expect(await shell(container, 'id -u; echo $$ > /root/x; stat -c %u /root/x /bin')).toBe('0\n0\n0')
  expect(await shell(container, 'cat /proc/1/comm')).toBe('sleep')
  const outside = readFileSync('/proc/self/uid_map', 'utf8').trim().split(/\s+/)
  const inside = (await shell(container, 'head -1 /proc/self/uid_map')).split(/\s+/)
  expect(inside.slice(0, 2)).toEqual(root ? outside.slice(0, 2) : ['0', String(process.geteuid?.())])
})

test('users and groups of the image are its own', async () => {
  await using container = await run('busybox', { ...sleeper, user: '1234:4321' })
  expect(await shell(container, 'id -u; id -g')).toBe('1234\n4321')
  expect(await shell(container, 'mkdir /data; chown 70:70 /data; su -s /bin/sh -c "id -u" nobody; stat -c %u:%g /data', '0')).toBe('65534\n70:70')
})

test('an id beyond those that were lent is refused by name', async () => {
  const far = run('busybox', { ...sleeper, user: '4000000' })
  if (root) return void await (await far).stop({ timeout: 0 })
  await expect(far).rejects.toMatchObject({ code: 'ERR_MAYFLY_UNPRIVILEGED', hint: expect.stringContaining('/etc/subuid') as string })
})

test('devices, procfs, sysfs and the loopback are there, and what Docker hides is hidden', async () => {
  await using container = await run('busybox', sleeper)
  expect(await shell(container, 'for name in null zero full random urandom tty; do test -c /dev/$name && test -w /dev/$name || echo $name; done')).toBe('')
  expect(await shell(container, 'head -c 4 /dev/zero | wc -c; cat /proc/keys /proc/timer_list | wc -c; ls /sys/firmware; cat /proc/sys/net/ipv4/ip_unprivileged_port_start')).toBe('4\n0\n0')
  expect((await container.exec(['sh', '-c', 'echo 1 > /proc/sys/kernel/panic'])).exitCode).not.toBe(0)
  expect((await container.exec(['mknod', '/tmp/disk', 'b', '8', '0'])).exitCode === 0 && (await container.exec(['cat', '/tmp/disk'])).exitCode === 0).toBe(false)
})

test('a lower directory is replaced, emptied and renamed as on any disk, and the image stays as it was', async () => {
  for (const scratch of ['memory', 'disk'] as const) {
    await using container = await run('busybox', { ...sleeper, scratch })
    await shell(container, 'rm -r /home && mkdir /home && touch /home/new && rm /etc/passwd && mv /var /var2')
    expect(await shell(container, 'ls /home; ls /var2 | head -1; ls / | grep -c "^var$" || true')).toMatch(/^new\n\w+\n0$/)
  }
  await using fresh = await run('busybox', sleeper)
  expect(await shell(fresh, 'ls /home; test -e /etc/passwd && echo there')).toBe('there')
})

test('logs, signals and the end reach the owner', async () => {
  await using container = await run('busybox', {
    command: 'trap "echo bye; exit 3" TERM; echo out; echo err >&2; while :; do sleep 0.01; done', ready: wait.log('err'),
  })
  const exit = container.exit
  await container.kill('SIGTERM')
  expect(await exit).toEqual({ code: 3, signal: undefined, oomKilled: false })
  const lines: string[] = []
  for await (const { stream, text } of container.logs()) lines.push(`${stream} ${text}`)
  expect(lines.sort()).toEqual(['stderr err', 'stdout bye', 'stdout out'])
})

test('a service is reached where host, port and urlOf say', async () => {
  await using web = await run('httpd')
  expect(web.urlOf(80)).toBe(`http://${web.host}:${web.port(80)}`)
  expect(web.host).toBe(root ? web.ip : '127.0.0.1')
  expect(await (await web.fetch('/')).text()).toContain('It works!')
  // It becomes a user of its own, to whom it gives its data first.
  await using redis = await run('redis')
  expect((await redis.exec(['redis-cli', 'ping'])).stdout.trim()).toBe('PONG')
}, 120_000)

test('containers of a run reach each other', async () => {
  await using web = await run('httpd')
  await using client = await run('busybox', sleeper)
  expect(await shell(client, `wget -qO- http://${web.ip}/`)).toContain('It works!')
})

test('a fixed port of the host is taken, or said to be taken, or to be root\'s', async () => {
  const server = createServer()
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  const { port } = server.address() as AddressInfo
  await expect(run('httpd', { ports: [{ container: 80, host: port }] })).rejects.toMatchObject({ code: 'ERR_MAYFLY_ADDRESS_IN_USE' })
  await new Promise((resolve) => { server.close(resolve) })
  await using web = await run('httpd', { ports: [{ container: 80, host: port }] })
  expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(200)
  expect(web.ports).toEqual([80])
  if (!root) await expect(run('httpd', { ports: [{ container: 80, host: 97 }] })).rejects.toMatchObject({ code: 'ERR_MAYFLY_UNPRIVILEGED' })
})

test('a service\'s own address holds connections until an instance stands behind it', async () => {
  const held = await openHeldAddress([80])
  const early = fetch(`http://${held.host}:${held.ports['80'] ?? 0}/`).then((response) => response.text())
  await using web = await run('httpd')
  await held.aim(web)
  expect(await early).toContain('It works!')
  await held.close()
})

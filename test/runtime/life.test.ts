// A container's life: created, started, stopped and kept, started again, renamed, watched. Run as root and as an ordinary user.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { build } from '../../packages/core/src/build/index.js'
import { create, endRun, events, network, run, wait, type Container } from '../../packages/core/src/container/index.js'
import type { ContainerEvent, WaitStrategy } from '../../packages/core/src/container/types.js'
import { listContainers } from '../../packages/core/src/container/runs.js'
import { until, useBench } from './bench.js'

useBench()
let directory = ''
beforeAll(() => { directory = mkdtempSync(join(tmpdir(), 'mayfly-life-')) })
afterAll(async () => {
  await endRun()
  rmSync(directory, { recursive: true, force: true })
})
/** An ordinary user's containers have limits and a freezer where cgroups are handed to him. */
const root = process.geteuid?.() === 0
const sleeper = { command: ['sleep', '1000'] }
const executed: WaitStrategy = { description: 'its execution', acceptsExit: true, ready: () => Promise.resolve() }
const server = { command: 'mkdir -p /www; hostname > /www/name; echo up; exec httpd -f -p 8080 -h /www', ports: [8080] }

async function sh(container: Container, script: string): Promise<string> {
  const { exitCode, stdout, stderr } = await container.exec(['sh', '-c', script])
  expect([stderr, exitCode]).toEqual(['', 0])
  return stdout.trim()
}

async function logOf(container: Container, options = {}): Promise<string[]> {
  const lines: string[] = []
  for await (const { text } of container.logs(options)) lines.push(text)
  return lines
}

/** The kinds of what happens, from the call on. */
function record(source: AsyncIterable<ContainerEvent>): { readonly seen: ContainerEvent[]; readonly over: Promise<void> } {
  const seen: ContainerEvent[] = []
  return { seen, over: (async () => { for await (const event of source) seen.push(event) })() }
}

test.each(['memory', 'disk'] as const)('started again it has its files (%s), name, address and ports; what is on a tmpfs is new', async (scratch) => {
  await using container = await run('busybox', { ...server, scratch, tmpfs: ['/t'], mounts: [{ target: '/v' }], loopback: true, name: `again-${scratch}` })
  await sh(container, 'echo kept > /kept; echo gone > /t/gone; echo vol > /v/vol; rm /bin/true; kill -0 1')
  const before = { id: container.id, name: container.name, ip: container.ip, url: container.urlOf(8080) }
  await container.restart({ timeout: 0 })
  expect({ id: container.id, name: container.name, ip: container.ip, url: container.urlOf(8080) }).toEqual(before)
  expect(await sh(container, 'cat /kept /v/vol; ls /t; ls /bin/true 2>/dev/null; cat /proc/1/comm; mount | grep -c " / "')).toBe('kept\nvol\nhttpd\n1')
  expect((await container.fetch('/name')).status).toBe(200)
  expect(await logOf(container)).toEqual(['up', 'up'])
  expect(await logOf(container, { sinceStart: true })).toEqual(['up'])
  expect(await container.top()).toMatchObject([{ pid: 1, command: ['httpd', '-f', '-p', '8080', '-h', '/www'] }])
})

test('one that ended by itself is started again, and ends again', async () => {
  await using container = await run('busybox', { command: ['sh', '-c', 'echo x >> /count; wc -l < /count; exit 3'], ready: executed, readonly: false })
  expect(await container.exit).toMatchObject({ code: 3 })
  await expect(container.exec(['true'])).rejects.toMatchObject({ code: 'ERR_MAYFLY_NOT_RUNNING' })
  await container.restart()
  expect(await container.exit).toMatchObject({ code: 3 })
  expect(await logOf(container)).toEqual(['1', '2'])
})

test('stopped and kept: files, the whole log, and a life after', async () => {
  const container = await run('busybox', { command: 'trap "echo ending; echo end > /end; exit 0" TERM; echo begun; while :; do sleep 1000 & wait; done', ready: wait.log('begun'), stopSignal: 'TERM' })
  await container.stop({ remove: false })
  expect(await container.exit).toMatchObject({ code: 0 })
  expect(await logOf(container)).toEqual(['begun', 'ending'])
  await container.copyOut('/end', join(directory, 'end'))
  expect(readFileSync(join(directory, 'end'), 'utf8')).toBe('end\n')
  await container.stop({ remove: false })
  expect((await listContainers()).find(({ id }) => id === container.id)).toMatchObject({ state: 'exited', exitCode: 0 })
  await container.copyIn({ content: 'while stopped' }, '/written')
  await container.restart()
  expect(await sh(container, 'cat /end /written')).toBe('end\nwhile stopped')
  await container.stop({ timeout: 0 })
  expect((await listContainers()).map(({ id }) => id)).not.toContain(container.id)
  await expect(container.restart()).rejects.toMatchObject({ code: 'ERR_MAYFLY_CONTAINER_NOT_FOUND' })
})

test('a read-only one, one with a terminal, one with limits and one with an init are started again as they were', async () => {
  await using fixed = await run('busybox', { ...sleeper, readonly: true, tmpfs: ['/tmp'] })
  await using terminal = await run('busybox', { command: ['sh', '-c', 'tty; sleep 1000'], tty: true, ready: wait.log('/dev/pts/0') })
  await using limited = await run('busybox', { ...sleeper, ...(root ? { memory: '64m', pids: 50 } : {}), init: true, capDrop: ['ALL'], user: '70:71', hostname: 'same', extraHosts: { api: '192.0.2.7' } })
  const look = 'id -u; hostname; grep -c api /etc/hosts; grep CapBnd /proc/self/status; cat /proc/1/comm'
  const before = await sh(limited, look)
  await Promise.all([fixed, terminal, limited].map((one) => one.restart({ timeout: 0 })))
  expect((await fixed.exec(['touch', '/x'])).exitCode).toBe(1)
  expect(await logOf(terminal, { sinceStart: true })).toEqual(['/dev/pts/0'])
  expect(await sh(limited, look)).toBe(before)
  expect((await limited.stats()).memory).toBeGreaterThan(0)
})

test.runIf(root)('what a memory limit ended is not said to be ended by it the next time', async () => {
  await using container = await run('busybox', { command: ['sh', '-c', 'if [ -e /second ]; then exit 4; fi; touch /second; exec dd if=/dev/zero of=/dev/null bs=200M'], memory: '24m', ready: executed })
  const happened = record(container.events())
  expect((await container.exit).oomKilled).toBe(true)
  await container.restart()
  expect(await container.exit).toMatchObject({ code: 4, oomKilled: false })
  await container[Symbol.asyncDispose]()
  await happened.over
  expect(happened.seen.map(({ kind }) => kind)).toEqual(['oom', 'exited', 'restarted', 'exited', 'removed'])
}, 20_000)

test('a start that fails again leaves it stopped, with its files', async () => {
  await using container = await run('busybox', { command: ['/program'], copy: [{ content: '#!/bin/sh\nexec sleep 1000\n', target: '/program', mode: 0o755 }] })
  await sh(container, 'rm /program')
  await expect(container.restart({ timeout: 0 })).rejects.toMatchObject({ code: 'ERR_MAYFLY_COMMAND_NOT_FOUND' })
  await container.copyIn({ content: '#!/bin/sh\nexec sleep 1000\n' }, '/program', { mode: 0o755 })
  await container.restart()
  expect(await sh(container, 'ls /program')).toBe('/program')
})

test('files are there before the program starts: as an option, and by hand', async () => {
  writeFileSync(join(directory, 'index.html'), 'from a file\n')
  const command = ['sh', '-c', 'cat /srv/index.html /srv/text; stat -c "%a %u" /srv/text; sleep 1000']
  const copy = [{ source: join(directory, 'index.html'), target: '/srv/' }, { content: 'text\n', target: '/srv/text', mode: 0o600, user: '70' }]
  const lines = ['from a file', 'text', '600 70']
  await using first = await run('busybox', { command, copy, ready: wait.log('600') })
  expect(await logOf(first)).toEqual(lines)
  await using made = await create('busybox', { command, copy: copy.slice(0, 1), ready: wait.log('600'), name: 'by-hand', network: undefined })
  const happened = record(made.events())
  expect((await listContainers()).find(({ id }) => id === made.id)).toMatchObject({ state: 'created', name: 'by-hand' })
  await made.copyIn({ content: 'text\n' }, '/srv/text', { mode: 0o600, user: '70' })
  await made.copyOut('/srv/index.html', join(directory, 'back'))
  expect(readFileSync(join(directory, 'back'), 'utf8')).toBe('from a file\n')
  const started = await made.start()
  expect(await logOf(started)).toEqual(lines)
  expect((await made.start()).id).toBe(started.id)
  await started.stop({ timeout: 0 })
  await happened.over
  expect(happened.seen.map(({ kind }) => kind)).toEqual(['started', 'exited', 'stopped', 'removed'])
  await expect(run('busybox', { copy: [{ source: join(directory, 'missing'), target: '/x' }] })).rejects.toMatchObject({ code: 'ERR_MAYFLY_PATH_NOT_FOUND' })
  {
    await using unused = await create('busybox', sleeper)
    expect(unused.name).toMatch(/^mayfly-/)
  }
  await expect((await create('busybox', { command: ['nothing-there'] })).start()).rejects.toMatchObject({ code: 'ERR_MAYFLY_COMMAND_NOT_FOUND' })
  expect(await listContainers()).toMatchObject([{ id: first.id }])
})

test('another name is the name for everybody, and the old one is free', async () => {
  await using net = await network()
  await using one = await run('busybox', { ...sleeper, network: net, name: 'before', aliases: ['kept'] })
  await using other = await run('busybox', { ...sleeper, network: net })
  const happened = record(one.events())
  await one.rename('after')
  expect([one.name, net.containers.map(({ name }) => name).sort()]).toEqual(['after', ['after', other.name].sort()])
  for (const name of ['after', 'kept']) expect(await sh(other, `ping -c1 -W2 ${name} | head -1`)).toContain(one.ip)
  expect((await other.exec(['ping', '-c1', '-W2', 'before'])).exitCode).not.toBe(0)
  expect(await sh(other, 'nslookup -type=a after | tail -2')).toContain(one.ip)
  expect((await listContainers()).map(({ name }) => name).sort()).toEqual(['after', other.name].sort())
  await expect(other.rename('after')).rejects.toMatchObject({ code: 'ERR_MAYFLY_NAME_IN_USE' })
  await expect(one.rename('no name')).rejects.toMatchObject({ code: 'ERR_MAYFLY_OPTION_INVALID' })
  await using third = await run('busybox', { ...sleeper, name: 'before' })
  await one.restart({ timeout: 0 })
  expect(await sh(other, 'ping -c1 -W2 after | head -1')).toContain(one.ip)
  expect(await sh(one, `ping -c1 -W2 ${other.name} | head -1`)).toContain(other.ip)
  expect(third.name).toBe('before')
  await one[Symbol.asyncDispose]()
  await happened.over
  expect(happened.seen[0]).toMatchObject({ kind: 'renamed', from: 'before', name: 'after', id: one.id })
})

test('what happens is told, of one container and of all', async () => {
  const stop = new AbortController()
  const all = record(events({ signal: stop.signal }))
  // Heard from the first read on.
  await new Promise((resolve) => setImmediate(resolve))
  const container = await run('busybox', { ...sleeper, name: 'eventful' })
  const own = record(container.events())
  if (root) {
    await container.pause()
    await container.pause()
    await container.unpause()
  }
  await container.kill()
  await container.exit
  await container[Symbol.asyncDispose]()
  await own.over
  expect(own.seen.map(({ time, ...rest }) => rest)).toEqual([
    ...(root ? [{ kind: 'paused' }, { kind: 'unpaused' }] : []), { kind: 'killed', signal: 'SIGKILL' }, { kind: 'exited', code: -1, signal: 'SIGKILL' }, { kind: 'removed' },
  ].map((event) => ({ id: container.id, name: 'eventful', image: 'busybox', ...event })))
  stop.abort()
  await all.over
  expect(all.seen.map(({ kind }) => kind)).toEqual(['created', 'started', ...(root ? ['paused', 'unpaused'] : []), 'killed', 'exited', 'removed'])
})

test('processes are listed without a program of the image', async () => {
  await using container = await run('busybox', { command: ['sh', '-c', 'sleep 1001 & sleep 1002 & wait'] })
  const spawned = await container.spawn(['sleep', '1003'])
  await until(async () => (await container.top()).length === 4)
  expect((await container.top()).map(({ command }) => command.join(' ')).sort()).toEqual(['sh -c sleep 1001 & sleep 1002 & wait', 'sleep 1001', 'sleep 1002', 'sleep 1003'])
  await spawned[Symbol.asyncDispose]()
  await using shared = await run('busybox', { command: ['sleep', '1004'], pid: `container:${container.id}` })
  expect((await shared.top()).map(({ command }) => command.at(-1))).toContain('1004')
  await container.stop({ timeout: 0, remove: false })
  expect(await container.top()).toEqual([])
})

test('a health check of one\'s own: starting, healthy, unhealthy and back, without a shell', async () => {
  await using container = await run('busybox', { ...sleeper, copy: [{ content: '', target: '/well' }], healthcheck: { test: ['CMD', 'ls', '/well'], interval: 20, retries: 2 } })
  expect(container.health).toMatchObject({ status: 'healthy', failingStreak: 0 })
  const happened = record(container.events())
  await sh(container, 'mv /well /ill')
  await until(() => container.health?.status === 'unhealthy')
  expect(container.health?.failingStreak).toBeGreaterThanOrEqual(2)
  expect(container.health?.log.at(-1)).toMatchObject({ exitCode: 1, output: expect.stringContaining('No such file') as string })
  expect(container.health?.log.length).toBeLessThanOrEqual(5)
  await sh(container, 'mv /ill /well')
  await until(() => container.health?.status === 'healthy')
  expect(container.health?.failingStreak).toBe(0)
  await container.restart({ timeout: 0 })
  expect(container.health?.status).toBe('healthy')
  await container[Symbol.asyncDispose]()
  await happened.over
  expect(happened.seen.flatMap((event) => (event.kind === 'health_status' ? [event.status] : []))).toEqual(['unhealthy', 'healthy', 'healthy'])
})

test('who never becomes well is unhealthy after its start period, which ends the wait; who takes too long has failed', async () => {
  await expect(run('busybox', { ...sleeper, healthcheck: { test: 'echo no; exit 5', interval: 10, startPeriod: 30, retries: 2 } })).rejects.toMatchObject({
    code: 'ERR_MAYFLY_UNHEALTHY', message: expect.stringMatching(/unhealthy by its health check/) as string,
  })
  await using slow = await run('busybox', { ...sleeper, ready: executed, healthcheck: { test: ['sleep', '1000'], timeout: 10, interval: 10, retries: 1 } })
  await until(() => slow.health?.status === 'unhealthy')
  expect(slow.health?.log.at(-1)).toMatchObject({ exitCode: -1, output: expect.stringContaining('longer than 10 ms') as string })
  await using without = await run('busybox', { ...sleeper, healthcheck: { disable: true } })
  expect(without.health).toBeUndefined()
  await expect(run('busybox', { ...sleeper, healthcheck: { interval: 10 } })).rejects.toThrow(/healthcheck without a test/)
  await expect(run('busybox', { ...sleeper, ready: wait.healthy() })).rejects.toThrow(/has no health check to wait for/)
})

test('the image\'s own check is used, changed in part, and turned off', async () => {
  writeFileSync(join(directory, 'Dockerfile'), 'FROM busybox\nHEALTHCHECK --interval=40s --retries=7 CMD test -e /well\nCMD ["sleep", "1000"]\n')
  await build({ context: directory, tags: ['checked:1'] })
  await using container = await run('checked:1', { copy: [{ content: '', target: '/well' }], healthcheck: { interval: 10 } })
  expect(container.health).toMatchObject({ status: 'healthy' })
  await sh(container, 'rm /well')
  await until(() => container.health?.status === 'unhealthy')
  expect(container.health?.failingStreak).toBe(7)
  await using off = await run('checked:1', { healthcheck: { test: ['NONE'] } })
  expect(off.health).toBeUndefined()
}, 60_000)

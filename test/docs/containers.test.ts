// The code of docs/containers.md.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { events, run, wait } from '@mayfly/core'
import { endRun } from '@mayfly/core/engine'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { useBench } from '../runtime/bench.js'

useBench()
let directory = ''
const here = process.cwd()
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'mayfly-manual-'))
  mkdirSync(join(directory, 'site'))
  writeFileSync(join(directory, 'site/new.html'), 'new')
  process.chdir(directory)
})
afterAll(async () => {
  await endRun()
  process.chdir(here)
  rmSync(directory, { recursive: true })
})

test('commands, logs and files', async () => {
  await using web = await run('httpd', {
    env: { TZ: 'UTC' }, memory: '256m', labels: { team: 'blue' },
    ready: wait.http('/', { port: 80 }),
  })
  expect((await web.fetch('/')).status).toBe(200)

  const { exitCode, stdout } = await web.exec(['cat', '/etc/hostname'], { user: 'nobody', cwd: '/tmp', env: { A: '1' } })
  const sorted = await web.exec(['sort'], { stdin: 'b\na\n', timeout: 5_000 })
  expect([exitCode, stdout.trim(), sorted.stdout]).toEqual([0, web.id.slice(0, 12), 'a\nb\n'])

  const lines: string[] = []
  for await (const { stream, text } of web.logs({ tail: 10, stream: 'stderr' })) lines.push(`${stream} ${text}`)
  expect(lines.length).toBeGreaterThan(0)

  await web.copyIn('./site/.', '/usr/local/apache2/htdocs')
  await web.copyIn({ content: 'secret' }, '/run/secret', { user: 'daemon', mode: 0o400 })
  await web.copyOut('/usr/local/apache2/conf', directory)
  const tar = await web.archive('/usr/local/apache2/logs')
  expect(await (await web.fetch('/new.html')).text()).toBe('new')
  expect((await web.exec(['stat', '-c', '%a %U', '/run/secret'])).stdout).toBe('400 daemon\n')
  expect(readdirSync(join(directory, 'conf'))).toContain('httpd.conf')
  expect((Buffer.concat(await tar.toArray() as Buffer[])).subarray(0, 5).toString()).toBe('logs/')
})

test('a life', async () => {
  await using early = await run('busybox', {
    command: ['sh', '-c', 'cat /greeting; sleep 1000'],
    copy: [{ content: 'hello\n', target: '/greeting', mode: 0o644 }],
    ready: wait.log('hello'),
  })
  await early.stop({ timeout: 0, remove: false })
  await early.copyOut('/greeting', directory)
  await early.restart()
  await early.rename('greeter')

  await early.update({ memory: '128m', cpus: 0.5 })
  const { stdout: limit } = await early.exec(['sh', '-c', 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null'])
  expect([early.name, limit, readFileSync(join(directory, 'greeting'), 'utf8')]).toEqual(['greeter', '134217728\n', 'hello\n'])
}, 60_000)

test('health and events', async () => {
  const stop = new AbortController()
  const { signal } = stop
  const seen: string[] = []
  const listening = (async () => {
    for await (const event of events({ signal })) seen.push(`${event.name} ${event.kind}`)
  })()
  await new Promise((resolve) => setImmediate(resolve))
  await using checked = await run('redis', { healthcheck: { test: ['redis-cli', 'PING'], interval: 1_000, retries: 3 } })
  expect(checked.health?.status).toBe('healthy')
  stop.abort()
  await listening
  expect(seen).toEqual(['created', 'started', 'health_status'].map((kind) => `${checked.name} ${kind}`))
})

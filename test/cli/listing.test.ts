import { run } from '@mayfly/core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openPlace, type Place } from '../place.js'

let place: Place
const soon = { description: 'nothing', ready: () => Promise.resolve() }

beforeAll(async () => {
  place = await openPlace()
  await mayfly('network', 'create', '--label', 'tier=back', 'net')
  await mayfly('create', '--name', 'first', '-l', 'a=b', '-l', 'c', '-v', 'vol:/data', '-v', '/tmp:/host:ro', 'busybox')
  await place.mayfly(['run', '--name', 'second', 'busybox', 'sh', '-c', 'exit 7'])
  await mayfly('run', '-d', '--name', 'third', '--network', 'net', '-p', '127.0.0.1::80', '-l', 'a=x', 'busybox', 'sh', '-c', 'echo early; sleep 4000')
})
afterAll(async () => {
  await place.mayfly(['rm', '-f', 'third'])
  await place.mayfly(['network', 'rm', 'net'])
  await place.close()
})

async function mayfly(...words: string[]): Promise<string> {
  const { code, stdout, stderr } = await place.mayfly(words)
  expect([words, code, stderr]).toEqual([words, 0, ''])
  return stdout.trim()
}

describe('ps', () => {
  const names = async (...words: string[]): Promise<string[]> => (await mayfly('ps', '--format', '{{.Names}}', ...words)).split('\n').filter((name) => name !== '')

  test('shows the last ones, whatever their state', async () => {
    expect(await names('-l')).toEqual(['third'])
    expect(await names('-n', '2')).toEqual(['third', 'second'])
    expect(await names('--latest', '--filter', 'name=first')).toEqual(['first'])
    expect(await names()).toEqual(['third'])
  })

  test.each([
    ['label=a', ['third', 'first']], ['label=a=b', ['first']], ['label=c', ['first']], ['status=exited', ['second']], ['status=created', ['first']],
    ['exited=7', ['second']], ['name=^/?(fir|sec)', ['second', 'first']], ['ancestor=busybox', ['third', 'second', 'first']], ['ancestor=busybox:latest', ['third', 'second', 'first']],
    ['ancestor=redis', []], ['before=second', ['first']], ['since=second', ['third']], ['network=net', ['third']], ['volume=vol', ['first']], ['volume=/host', ['first']],
    ['expose=80', ['third']], ['expose=81-90/udp', []], ['health=none', ['third', 'second', 'first']],
  ])('--filter %s', async (filter, wanted) => {
    expect(await names('-a', '--filter', filter)).toEqual(wanted)
  })

  test('joins filters as Docker does', async () => {
    expect(await names('-a', '-f', 'name=first', '-f', 'name=second', '-f', 'label=a')).toEqual(['first'])
    expect(await names('-a', '-f', 'label=a', '-f', 'label=c')).toEqual(['first'])
    const published = (await mayfly('port', 'third', '80')).split(':')[1] ?? ''
    expect(await names('--filter', `publish=${published}`)).toEqual(['third'])
    const id = await mayfly('ps', '-a', '-q', '--filter', 'name=first', '--no-trunc')
    expect(await names('-a', '-f', `id=${id.slice(0, 8)}`)).toEqual(['first'])
  })

  test('has Docker\'s fields for templates, and -s the bytes of what changed', async () => {
    expect(await mayfly('ps', '-a', '--filter', 'name=first', '--format', '{{.Labels}} {{.Mounts}} {{.LocalVolumes}} {{.Networks}} {{.State}} {{json .ID}}'))
      .toMatch(/^a=b,c= vol,\/tmp 1 bridge created "[0-9a-f]{12}"$/)
    expect((await mayfly('ps', '-a', '-s', '--filter', 'name=second')).split('\n')[0]).toMatch(/NAMES +SIZE +OWNER$/)
    expect(await mayfly('ps', '--filter', 'name=third', '--format', 'table {{.Names}}\t{{.Networks}}')).toMatch(/^NAMES +NETWORKS\nthird +net$/)
  })
})

test('inspect speaks of containers, images, networks and volumes, in Docker\'s form', async () => {
  const [third] = JSON.parse(await mayfly('inspect', 'third')) as [Record<string, Record<string, unknown>>]
  expect(third).toMatchObject({
    Name: '/third', Path: 'sh', Args: ['-c', 'echo early; sleep 4000'],
    State: { Status: 'running', Running: true, Paused: false, ExitCode: 0 },
    Config: { Image: 'busybox', Labels: { a: 'x' } }, HostConfig: { NetworkMode: 'net', Privileged: false, PidsLimit: 4096 },
    NetworkSettings: { Ports: { '80/tcp': [{ HostIp: '127.0.0.1', HostPort: expect.stringMatching(/^\d+$/) as string }] }, Networks: { net: {} } },
  })
  expect(await mayfly('inspect', '-f', '{{range .Mounts}}{{.Type}}:{{.Destination}}:{{.RW}} {{end}}', 'first')).toBe('volume:/data:true bind:/host:false')
  expect(await mayfly('container', 'inspect', '-s', '-f', '{{.SizeRw}}', 'second')).toMatch(/^\d+$/)
  expect(await mayfly('inspect', '--size', '-f', '{{.SizeRw}}', 'second')).toMatch(/^\d+$/)
  expect(await mayfly('inspect', '-f', '{{.Driver}}', 'net')).toBe('bridge')
  expect(await mayfly('inspect', '-f', '{{.Name}}', 'vol')).toBe('vol')
  expect(await mayfly('inspect', '--type', 'image', '-f', '{{.Os}}', 'busybox')).toBe('linux')
  expect(await place.mayfly(['inspect', '--type', 'volume', 'first'])).toMatchObject({ code: 1, stderr: expect.stringContaining('No such volume: first') as string })
})

test('logs from and to a time, in either form', async () => {
  await using talker = await run('busybox', { command: ['sh', '-c', 'echo one; while [ ! -e /go ]; do sleep 0.02; done; echo two'], name: 'talker', ready: soon })
  let first = new Date()
  for await (const line of talker.logs({ follow: true })) { first = line.time; break }
  await talker.exec(['touch', '/go'])
  let second = new Date()
  for await (const line of talker.logs({ follow: true })) second = line.time
  const between = new Date((first.getTime() + second.getTime()) / 2)
  expect(await mayfly('logs', '--since', between.toISOString(), 'talker')).toBe('two')
  expect(await mayfly('logs', '--until', String(between.getTime() / 1000), 'talker')).toBe('one')
  expect(await mayfly('logs', '--since', '1h', '-n', '1', 'talker')).toBe('two')
  expect((await mayfly('logs', '--timestamps', 'talker')).split('\n')[0]).toBe(`${first.toISOString()} one`)
  expect(await place.mayfly(['logs', '-n', 'few', 'talker'])).toMatchObject({ code: 1 })
})

test('stats of what runs, once', async () => {
  const text = await mayfly('stats', '--no-stream')
  expect(text.split('\n')[0]?.split(/ {2,}/)).toEqual(['CONTAINER ID', 'NAME', 'CPU %', 'MEM USAGE / LIMIT', 'MEM %', 'NET I/O', 'BLOCK I/O', 'PIDS'])
  expect(text).toMatch(/third +\d+\.\d\d% +[\d.]+[KM]?i?B \/ [\d.]+GiB +\d+\.\d\d% .* 1$/m)
  expect(await mayfly('stats', '--no-stream', '--format', '{{.Name}} {{.PIDs}}', 'third', 'second')).toBe('third 1\nsecond --')
  expect((await mayfly('stats', '--no-stream', '--no-trunc', '-a', '--format', 'json')).split('\n')).toHaveLength(3)
})

test('networks and volumes are filtered, and pruned when somebody agrees', async () => {
  await mayfly('network', 'create', 'idle')
  const networks = async (...words: string[]): Promise<string> => mayfly('network', 'ls', '--format', '{{.Name}}', ...words)
  expect(await networks('--filter', 'dangling=true')).toBe('idle')
  expect(await mayfly('network', 'ls', '-q', '--no-trunc', '-f', 'name=idle')).toMatch(/^[0-9a-f]{64}$/)
  expect(await mayfly('network', 'inspect', '--format', '{{.Scope}}', 'idle')).toBe('local')
  expect(await networks('-f', 'label=tier=back')).toBe('net')
  expect(await networks('-f', 'name=dl', '-f', 'driver=bridge')).toBe('idle')
  expect(await place.mayfly(['network', 'prune'])).toMatchObject({ code: 1, stdout: expect.stringContaining('custom networks') as string })
  expect(await mayfly('network', 'prune', '-f', '--filter', 'label=none')).toBe('')
  expect(await mayfly('network', 'rm', '-f', 'nowhere', 'idle')).toBe('idle')
  expect(await place.mayfly(['network', 'create', '-d', 'overlay', 'far'])).toMatchObject({ code: 1, stderr: expect.stringContaining('bridge') as string })
  await mayfly('volume', 'create', '--label', 'x=1', 'spare')
  expect(await mayfly('volume', 'ls', '-q', '--filter', 'dangling=true')).toBe('spare')
  expect(await mayfly('volume', 'ls', '--format', '{{.Name}} {{.Labels}}', '--filter', 'name=spare')).toBe('spare x=1')
  expect(await place.mayfly(['volume', 'prune', '-a'])).toMatchObject({ code: 1, stdout: expect.stringContaining('y/N') as string })
  expect(await mayfly('volume', 'prune', '-a', '-f', '--filter', 'label!=x')).toBe('Total reclaimed space: 0 B')
  expect(await mayfly('volume', 'prune', '-a', '-f', '--filter', 'label=x=1')).toContain('spare')
})

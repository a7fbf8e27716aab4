import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { run } from '@mayfly/core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { failure, nothingLeft, openPlace, type Place } from '../place.js'

let place: Place

beforeAll(async () => {
  place = await openPlace()
})

afterAll(() => place.close())

const sleeper = { command: ['sleep', '60'], ready: { description: 'nothing', ready: () => Promise.resolve() } }

test.each(['127.0.0.1', '0.0.0.0', '::1', '::'])('a host port somebody listens on, on %s', async (address) => {
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ port: 0, host: address, ipv6Only: address === '::1' }, resolve)
  })
  const { port } = server.address() as AddressInfo
  try {
    const options = { ...sleeper, name: 'bad', ports: [{ container: 80, host: port }] }
    const error = await failure(run('busybox', options))
    expect(error).toMatchObject({
      code: 'ERR_MAYFLY_ADDRESS_IN_USE',
      message: `Port ${port} of this machine is in use by node (process ${process.pid})`,
      hint: 'Choose another host port, or leave it out for a free one.',
      details: { port, protocol: 'tcp', holder: `node (process ${process.pid})` },
    })
    await nothingLeft()
    const outcome = await place.mayfly(['run', '--rm', '-p', `${port}:80`, 'busybox', 'true'])
    expect(outcome).toMatchObject({ code: 125, stderr: expect.stringContaining(`Port ${port} of this machine is in use`) as string })
  } finally {
    await new Promise((resolve) => server.close(resolve))
  }
  // Given back, name and port alike: now it starts.
  await using container = await run('busybox', { ...sleeper, name: 'bad', ports: [{ container: 80, host: port }], loopback: true })
  expect(container.port(80)).toBe(port)
})

test('a host port that somebody is bound to, without listening', async () => {
  // The kernel lets two have it while neither listens, and then neither of them may.
  const holder = spawn('perl', ['-MSocket', '-e', `
    socket(my $s, PF_INET, SOCK_STREAM, 0) or die; setsockopt($s, SOL_SOCKET, SO_REUSEADDR, 1) or die;
    bind($s, sockaddr_in(0, INADDR_LOOPBACK)) or die; $| = 1; print((sockaddr_in(getsockname $s))[0], "\n"); <STDIN>`], { stdio: ['pipe', 'pipe', 'inherit'] })
  try {
    const [line] = await once(holder.stdout, 'data') as [Buffer]
    const port = Number(line.toString())
    const error = await failure(run('busybox', { command: ['nc', '-ll', '-p', '80', '-e', 'true'], ports: [{ container: 80, host: port }], startTimeout: 8000 }))
    expect(error).toMatchObject({
      code: 'ERR_MAYFLY_ADDRESS_IN_USE', message: expect.stringContaining(`Port ${port} of this machine cannot be listened at: EADDRINUSE`) as string,
      hint: expect.stringContaining('bound to it') as string, details: { port, protocol: 'tcp', errno: 'EADDRINUSE' },
    })
    await nothingLeft()
  } finally {
    holder.stdin.end()
    await once(holder, 'close')
  }
})

test('a port of another container', async () => {
  await using first = await run('busybox', { ...sleeper, ports: [{ container: 80, host: 0 }], loopback: true })
  const port = first.port(80)
  expect(await failure(run('busybox', { ...sleeper, ports: [81, { container: 80, host: port }], loopback: true }))).toMatchObject({
    code: 'ERR_MAYFLY_ADDRESS_IN_USE', details: { port, protocol: 'tcp', holder: `the container ${first.name}` },
  })
})

test('every failed start gives its address back', async () => {
  // The sources themselves, for the number of addresses that are free; without slots, which hold some.
  process.env['MAYFLY_SLOTS'] = '0'
  const { start } = await import('../../packages/core/src/container/start.js')
  const { currentRun, endRun } = await import('../../packages/core/src/container/supervision.js')
  try {
    const { addresses } = await currentRun()
    await using busy = await start('busybox', { ...sleeper, ports: [{ container: 80, host: 0 }], loopback: true })
    const free = (): number => {
      const all: number[] = []
      try {
        for (;;) all.push(addresses?.take() ?? 0)
      } catch {
        for (const one of all) addresses?.free(one)
      }
      return all.length
    }
    const before = free()
    expect(before).toBeGreaterThan(1000)
    for (const [code, options] of [
      ['COMMAND_NOT_FOUND', { command: ['no-such-thing'] }],
      ['COMMAND_NOT_EXECUTABLE', { command: ['/etc'] }],
      ['CONTAINER_EXITED', { command: ['false'], ports: [80] }],
      ['ADDRESS_IN_USE', { ...sleeper, ports: [{ container: 80, host: busy.port(80) }] }],
      ['OPTION_INVALID', { ...sleeper, memory: 'much' }],
      ['NAME_IN_USE', { ...sleeper, name: busy.name }],
    ] as const) {
      expect(await failure(start('busybox', options))).toMatchObject({ code: `ERR_MAYFLY_${code}` })
      expect(free()).toBe(before)
    }
  } finally {
    delete process.env['MAYFLY_SLOTS']
    await endRun()
  }
})

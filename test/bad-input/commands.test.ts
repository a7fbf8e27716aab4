import { run, wait } from '@mayfly/core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { failure, nothingLeft, openPlace, type Place } from '../place.js'

let place: Place

beforeAll(async () => {
  place = await openPlace()
})

afterAll(() => place.close())

describe('a command that does not exist', () => {
  test('is 127, as with Docker', async () => {
    expect(await failure(run('busybox', { command: ['no-such-thing'], name: 'bad' }))).toMatchObject({
      code: 'ERR_MAYFLY_COMMAND_NOT_FOUND',
      message: 'There is no command "no-such-thing" in the container',
      hint: 'Check the command, or the image\'s ENTRYPOINT and CMD.',
      details: { exitCode: 127 },
    })
    await nothingLeft()
    await nameIsFree('bad')
  })

  test('on the command line, detached too', async () => {
    const stderr = expect.stringContaining('ERR_MAYFLY_COMMAND_NOT_FOUND') as string
    expect(await place.mayfly(['run', '--rm', 'busybox', 'no-such-thing'])).toMatchObject({ code: 127, stdout: '', stderr })
    expect(await place.mayfly(['run', '-d', 'busybox', 'no-such-thing'])).toMatchObject({ code: 127, stdout: '', stderr })
    await nothingLeft()
  })
})

describe('a command that cannot be executed', () => {
  test.each([['/etc/passwd'], ['/etc']])('%s is 126, as with Docker', async (path) => {
    expect(await failure(run('busybox', { command: [path], name: 'bad' }))).toMatchObject({
      code: 'ERR_MAYFLY_COMMAND_NOT_EXECUTABLE',
      message: `"${path}" cannot be executed: EACCES`,
      hint: 'Give it the execute bit, or name the program that runs it first.',
      details: { exitCode: 126 },
    })
    await nothingLeft()
    await nameIsFree('bad')
  })

  test('on the command line', async () => {
    const stderr = expect.stringContaining('ERR_MAYFLY_COMMAND_NOT_EXECUTABLE') as string
    expect(await place.mayfly(['run', '--rm', 'busybox', '/etc/passwd'])).toMatchObject({ code: 126, stdout: '', stderr })
  })
})

describe('a container that ends before it is ready', () => {
  test.each([
    ['its port', { ports: [8080] }],
    ['a log line', { ready: wait.log('never') }],
    ['a file', { ready: wait.file('/never') }],
  ])('says so at once, with its last words, while %s is waited for', async (_, waiting) => {
    const began = performance.now()
    const error = await failure(run('busybox', {
      command: ['sh', '-c', 'echo one; echo two >&2; exit 3'], name: 'bad', startTimeout: 60_000, ...waiting,
    }))
    expect(performance.now() - began).toBeLessThan(2000)
    expect(error).toMatchObject({
      code: 'ERR_MAYFLY_CONTAINER_EXITED',
      hint: expect.stringContaining('check `command`') as string,
      details: { exitCode: 3, oomKilled: false, log: expect.arrayContaining(['one', 'two']) as string[] },
    })
    expect(error.message).toMatch(/^busybox ended with exit code 3 before it was ready, waiting for .+\. Its last log lines:\n {2}(one\n {2}two|two\n {2}one)$/)
    await nothingLeft()
    await nameIsFree('bad')
  })

  test('shows the last 50 lines, not the first', async () => {
    const error = await failure(run('busybox', { command: ['sh', '-c', 'seq 1 200; exit 1'], ports: [80] }))
    expect(error.details['log']).toEqual(Array.from({ length: 50 }, (_, i) => String(i + 151)))
    await nothingLeft()
  })

  test('while any of several is waited for, and with no reason to fail', async () => {
    expect(await failure(run('busybox', { command: ['true'], ready: wait.any(wait.port(80), wait.port(81)) }))).toMatchObject({
      code: 'ERR_MAYFLY_CONTAINER_EXITED',
      message: 'busybox ended with exit code 0 before it was ready, waiting for port 80 or port 81. It printed nothing.',
      hint: 'The command did its work and ended: a service has to stay in the foreground.',
      details: { exitCode: 0 },
    })
    await nothingLeft()
  })

  test('is no error on the command line: its status is the command\'s', async () => {
    expect(await place.mayfly(['run', '--rm', 'busybox', 'sh', '-c', 'echo out; exit 3'])).toEqual({ code: 3, stdout: 'out\n', stderr: '' })
  })
})

describe('a memory limit smaller than the process needs', () => {
  // Keeps the last 64 MiB of an endless input in its own memory.
  const greedy = ['tail', '-c', '67108864', '/dev/zero']

  test('ends the start with its own code', async () => {
    const began = performance.now()
    const error = await failure(run('busybox', { command: greedy, memory: '8m', ports: [80], name: 'bad' }))
    expect(performance.now() - began).toBeLessThan(5000)
    expect(error).toMatchObject({
      code: 'ERR_MAYFLY_OUT_OF_MEMORY',
      hint: expect.stringContaining('Raise `memory`') as string,
      details: { oomKilled: true, signal: 'SIGKILL' },
    })
    expect(error.message).toMatch(/^busybox exceeded its memory limit of 8\.0 MiB and was killed /)
    await nothingLeft()
    await nameIsFree('bad')
  })

  test('is told by `exit` once it runs', async () => {
    const command = ['sh', '-c', 'until [ -e /tmp/go ]; do sleep 0.02; done; exec "$@"', 'sh', ...greedy]
    const container = await run('busybox', { command, memory: '8m', ready: wait.custom(() => true) })
    await container.copyIn({ content: '' }, '/tmp/go')
    expect(await container.exit).toEqual({ code: -1, signal: 'SIGKILL', oomKilled: true })
    await container[Symbol.asyncDispose]()
    await nothingLeft()
  })

  test('is 137 on the command line', async () => {
    expect(await place.mayfly(['run', '--rm', '-m', '8m', 'busybox', ...greedy])).toMatchObject({ code: 137 })
  })

  test('smaller than any program needs', async () => {
    const error = await failure(run('busybox', { command: greedy, memory: 4096, ports: [80] }))
    expect(error).toMatchObject({ code: 'ERR_MAYFLY_OUT_OF_MEMORY' })
    await nothingLeft()
  })
})

test.each([
  [{ memory: 'much' }, 'Invalid memory "much": bytes as a number, or text such as "256m" or "2g"'],
  [{ memory: '64m', stopSignal: 'SIGNONE' }, 'Unknown signal "SIGNONE"'],
  [{ memory: '64m', env: { 'A=B': 'c' } }, 'Invalid environment variable "A=B"'],
])('an option of another form: %j', async (options, message) => {
  expect(await failure(run('busybox', { command: ['true'], name: 'bad', ...options }))).toMatchObject({ code: 'ERR_MAYFLY_OPTION_INVALID', message })
  await nothingLeft()
  await nameIsFree('bad')
})

async function nameIsFree(name: string): Promise<void> {
  await using container = await run('busybox', { command: ['sleep', '60'], name })
  expect(container.name).toBe(name)
}

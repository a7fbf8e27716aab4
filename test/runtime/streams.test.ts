import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { run, type Container } from '@mayfly/core'
import { failure, openPlace, type Place } from '../place.js'

let place: Place
let container: Container
const soon = { description: 'nothing', ready: () => Promise.resolve(), acceptsExit: true }
beforeAll(async () => {
  place = await openPlace()
  container = await run('busybox', { command: ['sleep', '4000'], ready: soon })
})
afterAll(async () => {
  await container[Symbol.asyncDispose]()
  await place.close()
})

describe('exec', () => {
  test('gives text, bytes or a stream to standard input', async () => {
    for (const stdin of ['some words', Buffer.from('some words'), Readable.from(['some ', 'words'])]) {
      expect(await container.exec(['cat'], { stdin })).toEqual({ exitCode: 0, stdout: 'some words', stderr: '' })
    }
  })

  test('with 8 MiB in and out', async () => {
    const stdin = Buffer.alloc(8 * 2 ** 20, 'abcdefg')
    const { stdout } = await container.exec(['sha256sum'], { stdin })
    expect(stdout.slice(0, 64)).toBe(createHash('sha256').update(stdin).digest('hex'))
    expect((await container.exec(['cat'], { stdin })).stdout.length).toBe(stdin.length)
  })

  test('a command that does not want its input is not held up by it, and no error', async () => {
    expect(await container.exec(['head', '-c', '3'], { stdin: Buffer.alloc(2 ** 20, 'x') })).toMatchObject({ exitCode: 0, stdout: 'xxx' })
    expect(await container.exec(['sh', '-c', 'exec <&-; sleep 0.1; echo done'], { stdin: Buffer.alloc(2 ** 20) })).toMatchObject({ stdout: 'done\n' })
  })

  test('in a terminal has one, of the size given, and a controlling one', async () => {
    const { stdout } = await container.exec(['sh', '-c', 'tty; stty size; echo $TERM; echo err >&2; echo here > /dev/tty'], { tty: { columns: 91, rows: 17 } })
    expect(stdout).toMatch(/^\/dev\/pts\/\d\r\n17 91\r\nxterm\r\nerr\r\nhere\r\n$/)
  })

  test('in a terminal ends its input by Ctrl-D, also within a line', async () => {
    expect((await container.exec(['sh', '-c', 'stty -echo; echo ready; cat'], { tty: true, stdin: 'one\ntwo' })).stdout).toMatch(/one\r\ntwo/)
  })

  test('a failing input stream ends the command', async () => {
    const stdin = new Readable({ read: () => undefined })
    const running = failure(container.exec(['cat'], { stdin }))
    stdin.destroy(new Error('the disk is gone'))
    expect(await running).toMatchObject({ code: 'ERR_MAYFLY_ABORTED', cause: expect.objectContaining({ message: 'the disk is gone' }) as unknown })
  })
})

describe('spawn', () => {
  test('talks both ways until input ends; output stays open after it', async () => {
    await using shell = await container.spawn(['sh', '-c', 'while read -r line; do echo "got $line"; done; echo over; echo bad >&2; exit 3'])
    shell.stdin.write('a\n')
    const lines = shell.stdout.setEncoding('utf8')[Symbol.asyncIterator]()
    expect((await lines.next()).value).toBe('got a\n')
    shell.stdin.end('b\n')
    let rest = ''
    for (let next = await lines.next(); next.done !== true; next = await lines.next()) rest += String(next.value)
    expect(rest).toBe('got b\nover\n')
    expect(await text(shell.stderr)).toBe('bad\n')
    expect(await shell.exit).toEqual({ code: 3, signal: undefined, oomKilled: false })
  })

  test('a slow reader holds the command up, and loses nothing', async () => {
    const started = await container.spawn(['sh', '-c', 'head -c 8388608 /dev/zero; echo done > /written'])
    for (let round = 0; round < 10; round += 1) await container.exec(['true'])
    expect((await container.exec(['test', '-e', '/written'])).exitCode).toBe(1)
    let count = 0
    for await (const piece of started.stdout) count += (piece as Buffer).length
    expect(count).toBe(8_388_608)
    expect(await started.exit).toMatchObject({ code: 0 })
  })

  test('a writer is told to wait when nobody reads', async () => {
    await using started = await container.spawn(['sleep', '4000'])
    let taken = false
    started.stdin.write(Buffer.alloc(2 ** 20), () => { taken = true })
    for (let round = 0; round < 10; round += 1) await container.exec(['true'])
    expect(started.stdin.writableNeedDrain).toBe(true)
    expect(taken).toBe(false)
  })

  test('says that input is read no more', async () => {
    await using started = await container.spawn(['sh', '-c', 'exec <&-; echo closed; sleep 4000'])
    for await (const _ of started.stdout) break
    const write = (): Promise<unknown> => new Promise((done) => { started.stdin.write('x', done) })
    await expect.poll(write).toMatchObject({ code: 'ERR_MAYFLY_STDIN_CLOSED' })
  })

  test('is resized, signalled, and killed by disposal', async () => {
    await using started = await container.spawn(['sh', '-c', 'trap "stty size" WINCH; trap "echo hup; exit 9" HUP; echo ready; while :; do sleep 0.02; done'], { tty: true })
    let seen = ''
    started.stdout.on('data', (piece: Buffer) => { seen += piece.toString() })
    await expect.poll(() => seen).toContain('ready')
    await started.resize({ columns: 120, rows: 40 })
    await expect.poll(() => seen).toContain('40 120')
    await started.kill('SIGHUP')
    expect(await started.exit).toMatchObject({ code: 9 })
    expect(await failure(started.resize({ columns: 1, rows: 1 }))).toMatchObject({ code: 'ERR_MAYFLY_NOT_RUNNING' })
    await started.kill()
    const other = await container.spawn(['sleep', '4000'])
    expect(await failure(other.resize({ columns: 1, rows: 1 }))).toMatchObject({ code: 'ERR_MAYFLY_OPTION_INVALID' })
    await other[Symbol.asyncDispose]()
    expect(await other.exit).toMatchObject({ signal: 'SIGKILL' })
  })

  test('ends by its signal and its timeout', async () => {
    const stop = new AbortController()
    const first = await container.spawn(['sleep', '4000'], { signal: stop.signal })
    stop.abort()
    expect(await failure(first.exit)).toMatchObject({ code: 'ERR_MAYFLY_ABORTED' })
    const second = await container.spawn(['sleep', '4000'], { timeout: 20 })
    expect(await failure(second.exit)).toMatchObject({ code: 'ERR_MAYFLY_TIMEOUT' })
  })

  test('a command that is not there, or a container that is gone, is an error', async () => {
    expect(await failure(container.spawn(['nothing']))).toMatchObject({ code: 'ERR_MAYFLY_COMMAND_NOT_FOUND' })
    const over = await run('busybox', { command: ['true'], ready: soon })
    await over.exit
    expect(await failure(over.spawn(['true']))).toMatchObject({ code: 'ERR_MAYFLY_NOT_RUNNING' })
    await over[Symbol.asyncDispose]()
    expect(await failure(over.spawn(['true']))).toMatchObject({ code: 'ERR_MAYFLY_NOT_RUNNING' })
  })
})

describe('attach', () => {
  test('to a shell: input, output, its end', async () => {
    await using shell = await run('busybox', { command: ['sh', '-c', 'echo early; while read -r line; do echo "got $line"; done; exit 4'], stdin: true, ready: soon })
    const attached = await shell.attach({ logs: true })
    attached.stdin?.end('a\nb\n')
    expect(await text(attached.stdout)).toBe('early\ngot a\ngot b\n')
    expect(await attached.exit).toMatchObject({ code: 4 })
    expect(await failure(attached.resize({ columns: 1, rows: 1 }))).toMatchObject({ code: 'ERR_MAYFLY_NOT_RUNNING' })
  })

  test('detached, the container goes on, and another takes over', async () => {
    await using cat = await run('busybox', { command: ['cat'], stdin: true, ready: soon })
    const first = await cat.attach()
    first.stdin?.write('one\n')
    for await (const _ of first.stdout) break
    await first.detach()
    expect(await failure(first.exit)).toMatchObject({ code: 'ERR_MAYFLY_ABORTED' })
    const second = await cat.attach()
    second.stdin?.end('two\n')
    expect(await text(second.stdout)).toBe('two\n')
    expect(await second.exit).toMatchObject({ code: 0 })
  })

  test('to one without input gives none; to a terminal gives one stream', async () => {
    const none = await container.attach()
    expect(none.stdin).toBeUndefined()
    await none.detach()
    await using shell = await run('busybox', { command: ['sh', '-c', 'ls -l /dev/console; stty size; echo err >&2; read -r x; echo "[$x]"'], stdin: true, tty: { columns: 80, rows: 25 }, ready: soon })
    const attached = await shell.attach({ logs: true })
    // A terminal echoes what is typed when it is typed: the line goes in once the program has said all it says before.
    let seen = ''
    for await (const piece of attached.stdout) {
      const before = seen
      seen += String(piece)
      if (seen.includes('err\r\n') && !before.includes('err\r\n')) attached.stdin?.write('yes\n')
    }
    expect(seen).toMatch(/136, .*\/dev\/console\r\n25 80\r\nerr\r\nyes\r\n\[yes\]\r\n$/)
    expect(await text(attached.stderr)).toBe('')
  })

  test('with hold, more output than a log keeps is all there for who comes late', async () => {
    await using loud = await run('busybox', { command: ['head', '-c', '33554432', '/dev/zero'], hold: true, ready: soon })
    await new Promise((go) => { setTimeout(go, 100) })
    const attached = await loud.attach({ logs: true })
    let count = 0
    for await (const piece of attached.stdout) count += (piece as Buffer).length
    expect(count).toBe(33_554_432)
  })
})

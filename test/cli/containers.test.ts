import { run, type Container } from '@mayfly/core'
import { existsSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { nothingLeft, openPlace, type Place } from '../place.js'

let place: Place
/** Of this process's own run, with a port of its own address and one on the host's loopback. */
let own: Container
let fixed: Container
/** Of the keeper. */
let detached: string

beforeAll(async () => {
  place = await openPlace()
  own = await run('busybox', { command: ['sleep', '4000'], name: 'own', ports: [8080], ready: soon })
  fixed = await run('busybox', { command: ['sh', '-c', 'echo out; echo err >&2; sleep 4000'], ports: [80], loopback: true, ready: soon })
  const { code, stdout, stderr } = await place.mayfly(['run', '-d', '--name', 'kept', 'busybox', 'sh', '-c', 'seq 1 5; sleep 4000'])
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  detached = stdout.trim()
})

afterAll(() => place.close())

const soon = { description: 'nothing', ready: () => Promise.resolve() }

describe('ps', () => {
  test('lists the containers of every run, newest first, with Docker\'s columns', async () => {
    const { stdout } = await place.mayfly(['ps'])
    const [header = '', ...rows] = stdout.trimEnd().split('\n')
    expect(header.split(/ {2,}/)).toEqual(['CONTAINER ID', 'IMAGE', 'COMMAND', 'CREATED', 'STATUS', 'PORTS', 'NAMES', 'OWNER'])
    const cells = rows.map((row) => row.split(/ {3,}/))
    const when = expect.stringMatching(/second|minute/) as string
    expect(cells).toEqual([
      [detached.slice(0, 12), 'busybox', '"sh -c seq 1 5; slee…"', when, when, 'kept', expect.stringMatching(/^\d+ mayfly keeper$/)],
      [fixed.id.slice(0, 12), 'busybox', '"sh -c echo out; ech…"', when, when, `127.0.0.1:${fixed.port(80)}->80/tcp`, fixed.name, owner(process.pid)],
      [own.id.slice(0, 12), 'busybox', '"sleep 4000"', when, when, `${own.host}:${own.port(8080)}->8080/tcp`, 'own', owner(process.pid)],
    ])
  })

  test('as JSON tells the run, and whole ids', async () => {
    const { stdout } = await place.mayfly(['ps', '--no-trunc', '--format', 'json'])
    const rows = stdout.trimEnd().split('\n').map((line) => JSON.parse(line) as Record<string, string>)
    expect(rows.map(({ ID }) => ID)).toEqual([detached, fixed.id, own.id])
    expect(rows[1]?.['Command']).toBe('"sh -c echo out; echo err >&2; sleep 4000"')
    expect(new Set(rows.map(({ Run }) => Run)).size).toBe(2)
    expect((await place.mayfly(['ps', '-q'])).stdout).toBe(`${[detached, fixed.id, own.id].map((id) => id.slice(0, 12)).join('\n')}\n`)
  })

  test('leaves out those that ended, unless asked', async () => {
    const over = await run('busybox', { command: ['sh', '-c', 'exit 7'], name: 'over', ready: { ...soon, acceptsExit: true } })
    await over.exit
    expect((await place.mayfly(['ps'])).stdout).not.toContain('over')
    expect((await place.mayfly(['ps', '-a'])).stdout).toMatch(/Exited \(7\) .* ago .*over/)
    await over[Symbol.asyncDispose]()
  })
})

describe('logs', () => {
  test('of a container of another process, each stream on its own', async () => {
    expect(await place.mayfly(['logs', fixed.id.slice(0, 5)])).toEqual({ code: 0, stdout: 'out\n', stderr: 'err\n' })
  })

  test('of a detached one, by name and from the end', async () => {
    expect(await place.mayfly(['logs', '--tail', '2', 'kept'])).toEqual({ code: 0, stdout: '4\n5\n', stderr: '' })
  })

  test('followed from the end until it is over', async () => {
    const script = 'seq 1 3; while [ ! -e /go ]; do sleep 0.02; done; echo last'
    await using talker = await run('busybox', { command: ['sh', '-c', script], name: 'talker', ready: soon })
    for await (const { text } of talker.logs({ follow: true })) if (text === '3') break
    const followed = place.spawn(['logs', '-f', '--tail', '1', 'talker'])
    let seen = ''
    for await (const chunk of followed.stdout) {
      seen += String(chunk)
      if (seen === '3\n') await talker.exec(['touch', '/go'])
    }
    expect(seen).toBe('3\nlast\n')
  })
})

describe('stop', () => {
  test('a container of another process, which sees it end', async () => {
    expect(await place.mayfly(['stop', '-t', '0', 'own'])).toEqual({ code: 0, stdout: 'own\n', stderr: '' })
    expect(await own.exit).toMatchObject({ signal: 'SIGKILL' })
    await own.stop()
  })

  test('a detached one, by the start of its id; it stays until it is removed, and the keeper ends with its last', async () => {
    const keeper = Number((await place.mayfly(['ps', '--filter', 'name=kept', '--format', '{{.Owner}}'])).stdout.split(' ')[0])
    expect(await place.mayfly(['stop', '-t', '0', detached.slice(0, 6)])).toEqual({ code: 0, stdout: `${detached.slice(0, 6)}\n`, stderr: '' })
    expect((await place.mayfly(['ps', '-q'])).stdout).toBe(`${fixed.id.slice(0, 12)}\n`)
    expect((await place.mayfly(['ps', '-a', '--format', '{{.Names}} {{.State}}'])).stdout).toBe(`kept exited\n${fixed.name} running\n`)
    await expect.poll(() => existsSync(`/proc/${keeper}`), { timeout: 10_000, interval: 20 }).toBe(false)
    expect(await place.mayfly(['logs', '--tail', '1', 'kept'])).toEqual({ code: 0, stdout: '5\n', stderr: '' })
    expect(await place.mayfly(['rm', 'kept'])).toMatchObject({ code: 0 })
  })

  test('asks with the image\'s or the option\'s signal first', async () => {
    const polite = await run('busybox', {
      command: ['sh', '-c', 'trap "exit 5" USR1; echo ready; while :; do sleep 0.05; done'], stopSignal: 'SIGUSR1', name: 'polite', ready: soon,
    })
    for await (const { text } of polite.logs({ follow: true })) if (text === 'ready') break
    expect(await place.mayfly(['stop', 'polite'])).toMatchObject({ code: 0 })
    expect(await polite.exit).toMatchObject({ code: 5 })
    await polite.stop()
  })

  test('what does not exist is said, and the others are stopped', async () => {
    expect(await place.mayfly(['stop', '-t', '0', 'nobody', fixed.name])).toEqual({
      code: 1, stdout: `${fixed.name}\n`,
      stderr: 'mayfly: No such container: nobody (ERR_MAYFLY_CONTAINER_NOT_FOUND)\nmayfly ps -a lists them.\n',
    })
    await fixed.stop()
    await nothingLeft()
  })
})

function owner(pid: number): string {
  return expect.stringMatching(new RegExp(`^${pid} `)) as string
}

import { randomBytes } from 'node:crypto'
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ServerResponse } from 'node:http'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { fakeRegistry, tar, type FakeRegistry } from '../../packages/core/test/images/fixture.js'
import { openPlace, type Place } from '../place.js'
import { session } from './pseudo-terminal.js'

let place: Place
let registry: FakeRegistry
let count = 0
let app: string
/** Bytes of large layers wait for it. */
let gate: { readonly open: Promise<void>, readonly go: () => void }

beforeAll(async () => {
  place = await openPlace()
  registry = await fakeRegistry()
  delete process.env['CI']
  registry.intercept = (request, response) => {
    const bytes = registry.blobs.get((request.url ?? '').replace(/.*\//, ''))
    if (bytes === undefined || bytes.length < 100_000) return false
    void halves(bytes, response)
    return true
  }
})
afterAll(async () => {
  await registry.close()
  await place.close()
})
beforeEach(() => {
  let go = (): void => undefined
  const open = new Promise<void>((resolve) => { go = resolve })
  gate = { open, go }
  app = `${registry.host}/app:${String(count += 1)}`
  registry.add('app', String(count), [tar([{ name: 'small', content: String(count) }]), tar([{ name: 'large', content: randomBytes(400_000) }])], { config: { Cmd: ['/none'] } })
})

async function halves(bytes: Buffer, response: ServerResponse): Promise<void> {
  response.writeHead(200, { 'content-length': bytes.length })
  response.write(bytes.subarray(0, bytes.length / 2))
  await gate.open
  response.end(bytes.subarray(bytes.length / 2))
}

/** What half a pull could leave: unpacked or fetched parts, leases, names. */
function halfDone(): string[] {
  const home = process.env['MAYFLY_HOME'] ?? ''
  return ['ingest', 'trash', 'leases'].flatMap((room) => readdirSync(join(home, room)).map((name) => `${room}/${name}`))
}

describe('on a terminal', () => {
  test('pull shows a bar for each layer, keeps to the window, and ends with what Docker prints', async () => {
    const { shows, resize, screen, exit } = session(['pull', app])
    await shows(/[0-9a-f]{12}: Downloading \[=+> +\] +\d+kB\/\d+kB/)
    await shows(/[0-9a-f]{12}: Pull complete/)
    await shows(/\d+kB of \d+kB/)
    const before = screen().length
    resize({ columns: 40, rows: 24 })
    await expect.poll(() => screen().slice(before)).toMatch(/Downloading \d+kB\/\d+kB/)
    gate.go()
    expect(await exit).toBe(0)
    expect(screen()).toMatch(/Pull complete[^]*Pull complete[^]*Digest: sha256:[0-9a-f]{64}\r\n.*\/app:\d+\r\n$/)
  })
  test('Ctrl-C leaves nothing half-done, and the next pull succeeds', async () => {
    const { shows, type, screen, exit } = session(['pull', app], 'echo "the terminal is fine"')
    await shows('Downloading')
    type('\x03')
    expect(await exit).toBe(130)
    expect(screen()).toContain('the terminal is fine')
    expect(screen()).not.toContain('ERR_MAYFLY')
    expect(halfDone()).toEqual([])
    expect(await place.mayfly(['store', 'verify'])).toMatchObject({ code: 0 })
    gate.go()
    expect(await place.mayfly(['pull', '-q', app])).toEqual({ code: 0, stdout: `${app}\n`, stderr: '' })
  })
  test('run shows the pull before the program, in the foreground and with -it', async () => {
    for (const words of [['run', '--rm'], ['run', '--rm', '-it']]) {
      app = `${registry.host}/app:${String(count += 1)}`
      registry.add('app', String(count), [tar([{ name: 'large', content: randomBytes(300_000) }])], { config: { Cmd: ['/none'] } })
      const { shows, type, exit } = session([...words, app])
      await shows('Downloading')
      type('\x03')
      expect(await exit).toBe(130)
      expect(halfDone()).toEqual([])
    }
  })
  test('build shows the base image come between its steps', async () => {
    writeFileSync(join(place.directory, 'Dockerfile'), `FROM ${app}\nLABEL a=b\n`)
    const { shows, screen, exit } = session(['build', place.directory])
    await shows('Downloading')
    gate.go()
    expect(await exit).toBe(0)
    expect(screen()).toMatch(/#1 FROM [^]*Pull complete[^]*#1 DONE[^]*built sha256/)
  })
  test('push and load show theirs, and NO_COLOR is heeded', async () => {
    gate.go()
    await place.mayfly(['pull', '-q', app])
    const target = `${place.registry.host}/none/app`
    await place.mayfly(['tag', app, target])
    const pushed = session(['push', target])
    expect(await pushed.exit).toBe(1)
    expect(pushed.screen()).toMatch(/[0-9a-f]{12}: Waiting/)
    const archive = join(place.directory, 'app.tar')
    await place.mayfly(['save', '-o', archive, app])
    await place.mayfly(['rmi', '-f', app, target])
    process.env['NO_COLOR'] = '1'
    const loaded = session(['load', '-i', archive])
    expect(await loaded.exit).toBe(0)
    delete process.env['NO_COLOR']
    expect(loaded.screen()).toMatch(/[0-9a-f]{12}: Loaded\r\n[^]*Loaded image: /)
    expect(loaded.screen()).not.toMatch(/\x1b\[\d*m/)
  })
})

describe('elsewhere', () => {
  beforeEach(() => { gate.go() })
  const lines = /^([0-9a-f]{12}: Pull complete\n){2}$/
  test('pull prints a line for each layer on standard error', async () => {
    const { code, stdout, stderr } = await place.mayfly(['pull', app])
    expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringMatching(/^Digest: sha256:[0-9a-f]{64}\n.*\/app:\d+\n$/) as string })
    expect(stderr).toMatch(lines)
    expect((await place.mayfly(['pull', app])).stderr).toMatch(/^([0-9a-f]{12}: Already exists\n){2}$/)
  })
  test('a CI that has a terminal gets lines, too', async () => {
    process.env['CI'] = 'true'
    const { screen, exit } = session(['pull', app])
    delete process.env['CI']
    expect(await exit).toBe(0)
    expect(screen()).not.toContain('\x1b')
    expect(screen().match(/: Pull complete\r\n/g)).toHaveLength(2)
  })
  test('run prints nothing of it, nor does -q', async () => {
    expect((await place.mayfly(['run', '--rm', app])).stderr).not.toContain('Pull complete')
    const { screen, exit } = session(['pull', '-q', app])
    expect(await exit).toBe(0)
    expect(screen()).toBe(`${app}\r\n`)
  })
})

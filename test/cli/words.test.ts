import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openPlace, type Place } from '../place.js'

let place: Place
beforeAll(async () => {
  place = await openPlace()
  expect(await place.mayfly(['create', '--name', 'made', '-l', 'a=b', 'busybox'])).toMatchObject({ code: 0 })
})
afterAll(() => place.close())

describe('what is mistyped', () => {
  test('is answered with what was meant', async () => {
    expect(await place.mayfly(['rum', 'busybox'])).toEqual({ code: 1, stdout: '', stderr: expect.stringMatching(/^mayfly: unknown command 'rum'\n\(Did you mean one of .*run/) as string })
    expect(await place.mayfly(['image', 'lss'])).toMatchObject({ code: 1, stderr: expect.stringContaining('Did you mean ls?') as string })
    expect(await place.mayfly(['run', '--nam', 'x', 'busybox'])).toEqual({ code: 125, stdout: '', stderr: 'mayfly: unknown option \'--nam\'\n(Did you mean --name?)\n' })
    expect(await place.mayfly(['ps', '--formt', 'json'])).toMatchObject({ code: 125, stderr: expect.stringContaining('--format') as string })
    expect(await place.mayfly(['stop'])).toMatchObject({ code: 125, stderr: expect.stringContaining('missing required argument') as string })
    expect(await place.mayfly(['run', '--cpus', 'two', 'busybox'])).toMatchObject({ code: 125, stderr: expect.stringContaining('Invalid number "two"') as string })
    expect(await place.mayfly(['run', '--rm', '--security-opt', 'nothing', 'busybox'])).toMatchObject({ code: 125, stderr: expect.stringContaining('no-new-privileges') as string })
    expect(await place.mayfly(['run', '--rm', '--ulimit', 'nofile', 'busybox'])).toMatchObject({ code: 125 })
    expect(await place.mayfly(['ps', '--filter', 'colour=red'])).toMatchObject({ code: 1, stderr: expect.stringContaining('ancestor=') as string })
    expect(await place.mayfly(['logs', '--since', 'yesterday', 'made'])).toMatchObject({ code: 1, stderr: expect.stringContaining('10m') as string })
    expect(await place.mayfly(['run', '--restart', 'sometimes', 'busybox'])).toMatchObject({ code: 125, stderr: expect.stringContaining('unless-stopped') as string })
  })

  test('an id that several have is no name of one', async () => {
    const ids: string[] = []
    const { stdout } = await place.mayfly(['ps', '-a', '-q', '--no-trunc'])
    const letters = new Set([stdout.charAt(0)])
    let first = ''
    // Of 17 ids, two begin alike; most often of six.
    while (first === '') {
      ids.push((await place.mayfly(['create', 'busybox'])).stdout.trim())
      const letter = ids.at(-1)?.charAt(0) ?? ''
      if (letters.has(letter)) first = letter
      letters.add(letter)
    }
    expect(await place.mayfly(['inspect', '--type', 'container', first])).toMatchObject({ code: 1, stderr: expect.stringContaining('several containers') as string })
    expect(await place.mayfly(['rm', first])).toMatchObject({ code: 1, stderr: expect.stringContaining('Give more of the id') as string })
    expect(await place.mayfly(['rm', ...ids])).toMatchObject({ code: 0 })
  })
})

test('flags may have their value written out', async () => {
  expect(await place.mayfly(['ps', '--all=true', '--quiet=false', '--format', '{{.Names}}'])).toMatchObject({ code: 0, stdout: 'made\n' })
  expect(await place.mayfly(['ps', '--all=false', '-q'])).toMatchObject({ code: 0, stdout: '' })
  expect((await place.mayfly(['ps', '-a', '-q', '--no-trunc=true'])).stdout).toMatch(/^[0-9a-f]{64}\n$/)
  expect(await place.mayfly(['run', '--rm=true', '--read-only=false', 'busybox', 'echo', '--rm=false'])).toEqual({ code: 0, stdout: '--rm=false\n', stderr: '' })
})

test('version, help, and the parts of either', async () => {
  expect((await place.mayfly(['--version'])).stdout).toMatch(/^Mayfly version \d+\.\d+\.\d+\n$/)
  expect((await place.mayfly(['version', '--format', '{{.Client.Version}} {{.Server.Os}}'])).stdout).toMatch(/^\d+\.\d+\.\d+ linux\n$/)
  expect((await place.mayfly(['version'])).stdout).toContain('Version:')
  expect(await place.mayfly(['container', 'ls', '--help'])).toMatchObject({ code: 0, stdout: expect.stringContaining('--filter') as string })
})

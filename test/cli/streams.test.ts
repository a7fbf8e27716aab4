import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { execute, nothingLeft, openPlace, type Outcome, type Place } from '../place.js'

const program = fileURLToPath(new URL('../../packages/cli/dist/main.js', import.meta.url))
let place: Place
beforeAll(async () => { place = await openPlace() })
afterAll(() => place.close())

/** Runs the command with these bytes on its standard input, and gives what came out, as bytes. */
async function piped(words: readonly string[], input = Buffer.alloc(0)): Promise<{ code: number | null, stdout: Buffer, stderr: Buffer }> {
  const child = spawn(process.execPath, [program, ...words], { stdio: 'pipe' })
  const out: Buffer[] = []
  const err: Buffer[] = []
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk))
  child.stderr.on('data', (chunk: Buffer) => err.push(chunk))
  child.stdin.on('error', () => undefined)
  child.stdin.end(input)
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { code, stdout: Buffer.concat(out), stderr: Buffer.concat(err) }
}

test('who reads no more ends a command without a word, as SIGPIPE ends others', async () => {
  await place.mayfly(['run', '-d', '--name', 'endless', 'busybox', 'sh', '-c', 'while :; do echo y; usleep 10000; done'])
  const cut = async (...words: string[]): Promise<Outcome> => execute('bash', ['-c', '"$@" | head -c 1; exit ${PIPESTATUS[0]}', '', process.execPath, program, ...words], process.env)
  for (const words of [['logs', '-f', 'endless'], ['exec', 'endless', 'yes'], ['export', 'endless'], ['save', 'busybox'], ['run', '--rm', 'busybox', 'yes']]) {
    expect([words, { ...await cut(...words), stdout: '' }]).toEqual([words, { code: 141, stdout: '', stderr: '' }])
  }
  await place.mayfly(['rm', '-f', 'endless'])
  await nothingLeft()
})

describe('what a program writes comes out exactly', () => {
  test('bytes that are no text, carriage returns, and no line end at the end', async () => {
    const script = String.raw`printf '\000\377\376\r\n\303'; printf 'no end' >&2`
    const { code, stdout, stderr } = await piped(['run', '--rm', 'busybox', 'sh', '-c', script])
    expect({ code, stderr: stderr.toString('latin1') }).toEqual({ code: 0, stderr: 'no end' })
    expect(stdout).toEqual(Buffer.from([0, 255, 254, 13, 10, 0xc3]))
  })

  test('a megabyte of it', async () => {
    const { stdout } = await piped(['run', '--rm', 'busybox', 'tar', '-cf', '-', '/bin/busybox'])
    const inside = await piped(['run', '--rm', 'busybox', 'sh', '-c', 'tar -cf - /bin/busybox | sha256sum'])
    expect(inside.stdout.toString('latin1').slice(0, 64)).toBe(createHash('sha256').update(stdout).digest('hex'))
  })
})

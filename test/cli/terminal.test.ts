import { createHash, randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openPlace, type Place } from '../place.js'
import { session } from './pseudo-terminal.js'

let place: Place
beforeAll(async () => {
  place = await openPlace()
  expect(await place.mayfly(['run', '-d', '--name', 'box', '-e', 'OWN=1', 'busybox', 'sleep', '4000'])).toMatchObject({ code: 0, stderr: '' })
})
afterAll(async () => {
  await place.mayfly(['stop', '-t', '0', 'box'])
  await place.close()
})

describe('run -it', () => {
  test('is a terminal of the window\'s size, follows it, and passes on the exit code', async () => {
    const shell = session(['run', '-it', '--rm', 'busybox', 'sh'], 'stty -a | grep -o -- "-\\?echo "')
    shell.type('tty; stty size\n')
    await shell.shows(/\/dev\/(pts\/0|console)[\s\S]*24 80/)
    shell.resize({ columns: 132, rows: 50 })
    shell.type('while [ "$(stty size)" != "50 132" ]; do sleep 0.01; done; echo follo""wed\n')
    await shell.shows('followed')
    shell.type('exit 7\n')
    expect(await shell.exit).toBe(7)
    // Ours is as it was before.
    expect(shell.screen()).toMatch(/\necho /)
  })

  test('Ctrl-C is the container\'s, and does not end us', async () => {
    const shell = session(['run', '-it', '--rm', 'busybox', 'sh', '-c', 'trap "echo caught; exit 3" INT; echo ready; while :; do sleep 0.05; done'])
    await shell.shows('ready')
    shell.type('\u0003')
    await shell.shows('caught')
    expect(await shell.exit).toBe(3)
  })

  test('Ctrl-P Ctrl-Q leaves it running; attach comes back', async () => {
    const first = session(['run', '-it', '--name', 'stays', 'busybox', 'sh'])
    first.type('X=4; echo re""ady\n')
    await first.shows('ready')
    first.type('\u0010\u0011')
    expect(await first.exit).toBe(0)
    expect((await place.mayfly(['ps', '--format', '{{.Names}} {{.State}}'])).stdout).toContain('stays running')
    const second = session(['attach', 'stays'])
    // The shell draws its prompt anew for who has come; what it reads in that moment it may forget.
    await second.shows('# ')
    second.type('echo $((X + 1))""1\n')
    await second.shows('51')
    second.type('exit 9\n')
    expect(await second.exit).toBe(9)
    await place.mayfly(['rm', 'stays'])
  })

  test('start -ai comes back to one that ended, and keys of one\'s choice leave it', async () => {
    const first = session(['run', '-it', '--name', 'again', 'busybox', 'sh'])
    first.type('exit 2\n')
    expect(await first.exit).toBe(2)
    const second = session(['start', '-a', '-i', '--detach-keys', 'ctrl-x', 'again'])
    second.type('echo he""re; stty size\n')
    await second.shows(/here[\s\S]*24 80/)
    second.type('\u0018')
    expect(await second.exit).toBe(0)
    // Without input of ours there is none to be passed on.
    const third = session(['attach', '--no-stdin', '--sig-proxy=false', '--detach-keys', 'ctrl-x', 'again'])
    await third.shows('# ')
    expect(await place.mayfly(['kill', 'again'])).toMatchObject({ code: 0 })
    expect(await third.exit).toBe(137)
    expect(await place.mayfly(['rm', '-f', 'again'])).toMatchObject({ code: 0 })
  })

  test('refuses a terminal for input that is none', async () => {
    expect(await place.mayfly(['run', '-it', '--rm', 'busybox', 'true'])).toMatchObject({ code: 1, stderr: expect.stringContaining('not a TTY') as string })
  })
})

describe('exec -it', () => {
  test('is a terminal of its own', async () => {
    const shell = session(['exec', '-it', 'box', 'sh'])
    shell.type('tty; stty size; echo $OWN$TERM\n')
    await shell.shows(/\/dev\/pts\/\d+[\s\S]*24 80[\s\S]*1xterm/)
    expect(shell.settings()).toMatch(/-icanon[\s\S]*-echo /)
    shell.type('exit 5\n')
    expect(await shell.exit).toBe(5)
  })

  test('is left by keys of one\'s choice, and only by them', async () => {
    const shell = session(['exec', '-it', '--detach-keys', 'ctrl-a,x', 'box', 'cat'])
    shell.type('\u0001y\n')
    await shell.shows('y')
    shell.type('\u0001x')
    expect(await shell.exit).toBe(0)
    expect(await place.mayfly(['exec', '--detach-keys', 'wrong-key', 'box', 'true'])).toMatchObject({ code: 1 })
  })
})

describe('exec', () => {
  const exec = (...words: string[]): Promise<{ code: number, stdout: string, stderr: string }> => place.mayfly(['exec', ...words])

  test('streams apart, exit codes, and Docker\'s for commands that are not there', async () => {
    expect(await exec('box', 'sh', '-c', 'echo out; echo err >&2; exit 3')).toEqual({ code: 3, stdout: 'out\n', stderr: 'err\n' })
    expect(await exec('box', 'nothing-such')).toMatchObject({ code: 127 })
    expect(await exec('box', '/etc')).toMatchObject({ code: 126 })
    expect(await exec('box', 'sh', '-c', 'kill -9 $$')).toMatchObject({ code: 137 })
    expect(await exec('nobody', 'true')).toMatchObject({ code: 1, stderr: expect.stringContaining('No such container') as string })
  })

  test('-e, --env-file, -w, -u, --privileged', async () => {
    const file = join(place.directory, 'variables')
    writeFileSync(file, '# comment\n\nFROM_FILE=a "b"\nHERE\nBOTH=file\n')
    const { stdout } = await place.mayfly(['exec', '--env-file', file, '-e', 'BOTH=flag', '-e', 'OWN=2', '-w', '/tmp', '-u', '33:44', 'box', 'sh', '-c',
      'echo $FROM_FILE $HERE $BOTH $OWN; pwd; id -u; id -g'], { HERE: 'here' })
    expect(stdout).toBe('a "b" here flag 2\n/tmp\n33\n44\n')
    writeFileSync(file, 'A B=c\n')
    expect(await exec('--env-file', file, 'box', 'true')).toMatchObject({ code: 1, stderr: expect.stringContaining('A B=c') as string })
    const effective = async (...words: string[]): Promise<bigint> => BigInt(`0x${(await exec(...words, 'box', 'grep', 'CapEff', '/proc/self/status')).stdout.trim().split('\t')[1] ?? ''}`)
    expect(await effective('--privileged')).toBeGreaterThan(await effective())
  })

  test('-d goes on alone', async () => {
    expect(await exec('-d', 'box', 'sh', '-c', 'sleep 0.1; echo done > /tmp/done')).toEqual({ code: 0, stdout: '', stderr: '' })
    await expect.poll(async () => (await exec('box', 'cat', '/tmp/done')).stdout, { timeout: 5000 }).toBe('done\n')
  })

  test('-i passes bytes through both ways, at full speed', () => {
    const bytes = randomBytes(32 << 20)
    const { status, stdout } = place.piped(['exec', '-i', 'box', 'cat'], bytes)
    expect(status).toBe(0)
    expect(createHash('sha256').update(stdout).digest('hex')).toBe(createHash('sha256').update(bytes).digest('hex'))
  })

  test('without -i the command has no input', () => {
    expect(place.piped(['exec', 'box', 'cat'], Buffer.from('secret'))).toMatchObject({ status: 0, stdout: Buffer.alloc(0) })
  })
})

test('run -i passes bytes through both ways', () => {
  const bytes = randomBytes(8 << 20)
  const { status, stdout } = place.piped(['run', '--rm', '-i', 'busybox', 'cat'], bytes)
  expect({ status, same: stdout.equals(bytes) }).toEqual({ status: 0, same: true })
})

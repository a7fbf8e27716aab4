import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from '@mayfly/core'
import { expect, test } from 'vitest'
import { execute, program } from '../place.js'
import { fileOf, made, printed, useWorkshop } from './workshop.js'

const workshop = useWorkshop()

/** Files of a context that is too large to be looked at twice without noticing. */
const MANY = Number(process.env['MAYFLY_TEST_FILES'] ?? 20_000)

test(`a context of ${String(MANY)} files: what is not asked for costs nothing, what is takes its time and little memory`, async () => {
  // In memory where there is a place for it: a disk would be what is measured.
  const context = mkdtempSync(join('/dev/shm', 'mayfly-test-'))
  try {
    writeFileSync(join(context, 'Dockerfile'), 'FROM busybox AS one\nCOPY few/a /a\nFROM busybox AS all\nCOPY many /many\nRUN find /many -type f | wc -l > /count')
    mkdirSync(join(context, 'few'))
    writeFileSync(join(context, 'few/a'), 'a')
    execFileSync('sh', ['-ec', `
      for d in $(seq 1 100); do mkdir -p many/$d; done
      seq 1 ${String(MANY / 100)} | while read n; do echo $n; done > names
      for d in $(seq 1 100); do (cd many/$d && xargs touch < ../../names); done
      rm names`], { cwd: context })
    const began = performance.now()
    await build({ context, target: 'one', tags: ['few'] })
    const few = performance.now() - began
    const before = process.memoryUsage().rss
    await build({ context, target: 'all', tags: ['many'] })
    const whole = performance.now() - began - few
    // A file that is not asked for is not even seen: a hundredth of the time, whatever the machine does meanwhile.
    expect(few).toBeLessThan(Math.max(whole / 3, 1000))
    expect(await fileOf('many', '/count')).toBe(`${String(MANY)}\n`)
    expect((process.memoryUsage().rss - before) / MANY).toBeLessThan(5000)
  } finally {
    rmSync(context, { recursive: true })
  }
}, 300_000)

test('sockets and pipes of a context are nothing to copy, links that lead out are copied as links and followed by nobody', async () => {
  const context = join(workshop.directory, 'odd')
  mkdirSync(context)
  writeFileSync(join(context, 'plain'), 'plain')
  symlinkSync('/etc/passwd', join(context, 'out'))
  symlinkSync('loop', join(context, 'loop'))
  execFileSync('mkfifo', [join(context, 'pipe')])
  const server = createServer()
  await new Promise<void>((resolve) => { server.listen(join(context, 'socket'), resolve) })
  try {
    await build({ context, tags: ['odd'], dockerfile: 'FROM busybox\nCOPY . /x/' })
    expect(await printed('odd', 'sh', '-c', 'cd /x && ls && readlink out && readlink loop')).toEqual(['loop', 'out', 'plain', '/etc/passwd', 'loop'])
    for (const name of ['out', 'loop']) {
      await expect(build({ context, dockerfile: `FROM busybox\nCOPY ${name} /x` })).rejects.toMatchObject({ code: 'ERR_MAYFLY_DOCKERFILE_INVALID' })
    }
  } finally {
    await new Promise((resolve) => { server.close(resolve) })
  }
})

test('a disk that fills up in the middle of a build is told, and the build leaves nothing of itself there', async () => {
  if (process.geteuid?.() !== 0) return void process.stderr.write('skipped: only root can mount a disk of a few megabytes\n')
  const directory = mkdtempSync(join(tmpdir(), 'mayfly-test-'))
  const context = join(directory, 'context')
  const home = join(directory, 'home')
  for (const path of [context, home]) mkdirSync(path)
  execFileSync('sh', ['-c', 'head -c 40000000 /dev/urandom > large; tar -cf large.tar large'], { cwd: context })
  writeFileSync(join(context, 'Copy'), 'FROM busybox\nRUN echo first > /first\nCOPY large /large\nRUN true')
  writeFileSync(join(context, 'Add'), 'FROM busybox\nRUN echo first > /first\nADD large.tar /x/\nRUN true')
  writeFileSync(join(context, 'Run'), 'FROM busybox\nRUN echo first > /first\nRUN head -c 60000000 /dev/urandom > /large')
  writeFileSync(join(context, 'Small'), 'FROM busybox\nRUN echo first > /first')
  const script = `
    mount -t tmpfs -o size=32m,mode=700 tmpfs ${home}
    for file in Small Copy Add Run; do
      echo "== $file"
      ${process.execPath} ${program} build -q -f ${context}/$file ${context} > /dev/null 2> ${directory}/said; echo "code $?"
      grep -v '^ ' ${directory}/said | tail -3
    done
    echo "== left"
    find ${home}/ingest ${home}/trash -mindepth 1
    ${process.execPath} ${program} build -q -f ${context}/Small ${context} > /dev/null && echo "and goes on"`
  try {
    const { stdout } = await execute('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', script], { ...process.env, MAYFLY_HOME: home, XDG_RUNTIME_DIR: join(directory, 'run') })
    const parts = Object.fromEntries(stdout.split('== ').filter((part) => part !== '').map((part) => part.split(/\n(.*)/s)))
    expect(parts['Small']).toBe('code 0\n')
    for (const name of ['Copy', 'Add']) {
      expect(parts[name]).toMatch(/^code 1(25)?\n/)
      expect(parts[name]).toContain('ERR_MAYFLY_STORE_FAILED')
      expect(parts[name]).toContain('The disk is full.')
    }
    // The command met the full disk itself, and says so.
    expect(parts['Run']).toMatch(/^code 1(25)?\n/)
    expect(parts['left']).toBe('and goes on\n')
  } finally {
    rmSync(directory, { recursive: true })
  }
})

test('a Dockerfile that is no text, is empty, is a directory or is not there', async () => {
  const refused = async (dockerfile: string): Promise<string> => await made(dockerfile).then(() => '', (error: Error & { code: string }) => `${error.code} ${error.message}`)
  expect(await refused('')).toContain('ERR_MAYFLY_DOCKERFILE_INVALID Dockerfile:1:1: the file has no instructions')
  expect(await refused('\u0000\u0001\u0002')).toContain('ERR_MAYFLY_DOCKERFILE_INVALID Dockerfile:1:1: unknown instruction')
  const context = join(workshop.directory, 'strange')
  mkdirSync(join(context, 'Dockerfile'), { recursive: true })
  await expect(build({ context })).rejects.toMatchObject({ code: 'ERR_MAYFLY_DOCKERFILE_INVALID', message: expect.stringContaining('cannot be read: EISDIR') as string })
  await expect(build({ context: join(context, 'nothing') })).rejects.toMatchObject({ code: 'ERR_MAYFLY_DOCKERFILE_INVALID', message: expect.stringContaining('There is no') as string })
})

// Directories that containers share, or that outlive them: in the library and on the command line. Run as root and as an ordinary user.
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { build } from '../../packages/core/src/build/index.js'
import { endRun, run, volume, wait, type Container } from '../../packages/core/src/container/index.js'
import { listVolumes, pruneVolumes, removeVolume } from '../../packages/core/src/container/volumes.js'
import { execute, program, type Outcome } from '../place.js'
import { until, useBench } from '../runtime/bench.js'

const bench = useBench()
afterAll(endRun)
const sleeper = { command: ['sleep', '1000'] }
const image = 'volumes:1'

beforeAll(async () => {
  const context = mkdtempSync(join(tmpdir(), 'mayfly-volumes-'))
  writeFileSync(join(context, 'Dockerfile'), [
    'FROM busybox', 'RUN mkdir -p /data/deep && echo seed > /data/deep/file && chown -R 70:71 /data && chmod 2750 /data && chmod 640 /data/deep/file && ln -s deep/file /data/link && ln /data/deep/file /data/hard',
    'VOLUME /data /made', '',
  ].join('\n'))
  try {
    await build({ context, tags: [image] })
  } finally {
    rmSync(context, { recursive: true })
  }
}, 120_000)

const mayfly = (words: readonly string[]): Promise<Outcome> => execute(process.execPath, [program, ...words], process.env)

async function shell(container: Container, script: string): Promise<string> {
  const { exitCode, stdout, stderr } = await container.exec(['sh', '-c', script])
  expect([stderr, exitCode]).toEqual(['', 0])
  return stdout.trim()
}

const look = 'stat -c "%a %u:%g" /v /v/deep/file; readlink /v/link; stat -c %h /v/hard; cat /v/hard'
const seeded = '2750 70:71\n640 70:71\ndeep/file\n2\nseed'

test('a named volume begins with what the image has there, owners and modes included, and outlives its containers', async () => {
  const options = { ...sleeper, mounts: [{ volume: 'kept', target: '/data' }] }
  {
    await using first = await run(image, options)
    expect(await shell(first, look.replaceAll('/v', '/data'))).toBe(seeded)
    await shell(first, 'echo more > /data/more; rm /data/link')
    await expect(removeVolume('kept')).rejects.toMatchObject({ code: 'ERR_MAYFLY_VOLUME_IN_USE', details: { containers: [first.id] } })
  }
  await using second = await run(image, options)
  // Not filled again: what was removed stays so.
  expect(await shell(second, 'cat /data/more; ls /data')).toBe('more\ndeep\nhard\nmore')
  await second[Symbol.asyncDispose]()
  expect((await listVolumes()).map(({ name }) => name)).toEqual(['kept'])
  expect(await removeVolume('kept')).toBe('kept')
  expect(await listVolumes()).toEqual([])
  await expect(removeVolume('kept')).rejects.toMatchObject({ code: 'ERR_MAYFLY_VOLUME_NOT_FOUND' })
})

test('a volume of this process is shared by its containers, and goes with its disposal', async () => {
  const directories: string[] = []
  {
    await using shared = await volume()
    directories.push(shared.directory)
    await using writer = await run('busybox', { ...sleeper, mounts: [{ volume: shared, target: '/out' }] })
    await using reader = await run('busybox', { ...sleeper, mounts: [{ volume: shared, target: '/in', readonly: true }] })
    await shell(writer, 'echo hello > /out/word')
    expect(await shell(reader, 'cat /in/word')).toBe('hello')
    expect((await reader.exec(['touch', '/in/other'])).stderr).toContain('Read-only')
    await writer[Symbol.asyncDispose]()
    await reader[Symbol.asyncDispose]()
  }
  expect(directories.map((one) => existsSync(one))).toEqual([false])
})

test('of containers that find a volume empty at the same time, one fills it', async () => {
  await using shared = await volume()
  const mounts = [{ volume: shared, target: '/data' }]
  const started = await Promise.all([1, 2, 3].map(() => run(image, { ...sleeper, mounts })))
  for (const one of started) expect(await shell(one, 'cat /data/deep/file; ls /data | wc -l')).toBe('seed\n3')
  await Promise.all(started.map((one) => one[Symbol.asyncDispose]()))
})

test('nocopy begins empty; a volume without a name is the container\'s own, and goes with it', async () => {
  const scratch = (): string[] => readdirSync(join(bench.home, 'home', 'runs')).flatMap((id) => readdirSync(join(bench.home, 'home', 'runs', id, 'scratch'))).filter((name) => name.includes('.volume'))
  await using container = await run(image, { ...sleeper, mounts: [{ target: '/v', nocopy: true }, { target: '/data' }] })
  expect(await shell(container, 'ls /v | wc -l; ls /data | wc -l; touch /v/x')).toBe('0\n3')
  expect(scratch()).toHaveLength(2)
  await container[Symbol.asyncDispose]()
  await until(() => scratch().length === 0)
})

test('what the image calls a volume is there, also where the rest cannot be written to', async () => {
  await using plain = await run(image, sleeper)
  expect(await shell(plain, 'stat -c %F /made; cat /data/link')).toBe('directory\nseed')
  await using fixed = await run(image, { ...sleeper, readonly: true })
  expect(await shell(fixed, `${look.replaceAll('/v', '/data')}; touch /data/new /made/new`)).toBe(seeded)
  expect((await fixed.exec(['touch', '/new'])).stderr).toContain('Read-only')
})

test('binds of what is not there, or what the caller may not read, are refused; a relative source is this process\'s', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'mayfly-binds-'))
  try {
    mkdirSync(join(directory, 'shown'))
    writeFileSync(join(directory, 'shown', 'file'), 'shown\n')
    chmodSync(directory, 0o755)
    await using container = await run('busybox', { ...sleeper, mounts: [{ source: join(directory, 'shown'), target: '/a' }, { source: './package.json', target: '/package.json', readonly: true }] })
    expect(await shell(container, 'cat /a/file; grep -c mayfly-workspace /package.json')).toBe('shown\n1')
    await expect(run('busybox', { ...sleeper, mounts: [{ source: join(directory, 'none'), target: '/a' }] })).rejects.toMatchObject({ code: 'ERR_MAYFLY_OPTION_INVALID', message: `mounts: this machine has no ${join(directory, 'none')}` })
    if (process.geteuid?.() === 0) return
    await expect(run('busybox', { ...sleeper, mounts: [{ source: '/etc/shadow', target: '/a' }] })).rejects.toMatchObject({ message: expect.stringContaining('this user may not read it') as string })
  } finally {
    rmSync(directory, { recursive: true })
  }
})

test('memory as a directory, with its size and mode', async () => {
  await using container = await run('busybox', { ...sleeper, tmpfs: ['/cache:size=1m,mode=700,uid=5', '/plain'] })
  expect(await shell(container, 'stat -c "%a %u" /cache; stat -c %a /plain; dd if=/dev/zero of=/cache/x bs=1k count=2000 2>/dev/null || echo full')).toBe('700 5\n1777\nfull')
})

test('on the command line: made, listed, used, inspected, removed', async () => {
  expect(await mayfly(['volume', 'create', '--label', 'team=blue', 'cli'])).toMatchObject({ code: 0, stdout: 'cli\n' })
  expect(await mayfly(['run', '--rm', '-v', 'cli:/data', image, 'sh', '-c', 'cat /data/deep/file; echo kept > /data/word'])).toMatchObject({ code: 0, stdout: 'seed\n' })
  expect(await mayfly(['run', '--rm', '--mount', 'type=volume,src=cli,dst=/v,readonly', 'busybox', 'cat', '/v/word'])).toMatchObject({ code: 0, stdout: 'kept\n' })
  expect(await mayfly(['run', '--rm', '--mount', 'type=volume,src=cli,dst=/v,readonly', 'busybox', 'touch', '/v/word'])).toMatchObject({ code: 1 })
  expect(await mayfly(['run', '--rm', '-v', '/own', '--tmpfs', '/t:size=1m', '--read-only', 'busybox', 'sh', '-c', 'touch /own/x /t/x && ! touch /x'])).toMatchObject({ code: 0 })
  const listed = await mayfly(['volume', 'ls'])
  expect(listed.stdout).toBe('DRIVER    VOLUME NAME\nlocal     cli\n')
  expect((await mayfly(['volume', 'ls', '-q', '-f', 'label=team=blue', '-f', 'dangling=true'])).stdout).toBe('cli\n')
  expect((await mayfly(['volume', 'ls', '-q', '--filter', 'name=other'])).stdout).toBe('')
  expect((await mayfly(['volume', 'ls', '--filter', 'size=1']))).toMatchObject({ code: 1, stderr: expect.stringContaining('Filters are') as string })
  expect(JSON.parse((await mayfly(['volume', 'inspect', 'cli'])).stdout)).toMatchObject([{ Name: 'cli', Driver: 'local', Scope: 'local', Labels: { team: 'blue' }, Mountpoint: join(bench.home, 'home', 'volumes', 'cli', '_data') }])
  expect((await mayfly(['volume', 'inspect', '-f', '{{.Name}}', 'cli'])).stdout).toBe('cli\n')
  const [, made = ''] = /^([0-9a-f]{64})\n$/.exec((await mayfly(['volume', 'create'])).stdout) ?? []
  expect((await mayfly(['volume', 'prune', '-f'])).stdout).toMatch(new RegExp(`^Deleted Volumes:\n${made}\n\nTotal reclaimed space: 0 B\n$`))
  expect(await mayfly(['volume', 'rm', 'cli', 'none'])).toMatchObject({ code: 1, stdout: 'cli\n', stderr: expect.stringContaining('No such volume: none') as string })
  expect(await mayfly(['volume', 'rm', '-f', 'none'])).toMatchObject({ code: 0 })
  expect(await mayfly(['run', '--rm', '-v', 'bad name:/x', 'busybox'])).toMatchObject({ code: 125 })
  expect(await mayfly(['run', '--rm', '-v', 'x:y', 'busybox'])).toMatchObject({ code: 125, stderr: expect.stringContaining('NAME:TARGET') as string })
  expect(await pruneVolumes({ all: true })).toMatchObject({ names: [] })
}, 60_000)

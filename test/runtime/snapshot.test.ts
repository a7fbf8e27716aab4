import { readdirSync, truncateSync } from 'node:fs'
import { release } from 'node:os'
import { join } from 'node:path'
import { openSnapshot, run, wait, type Container } from '@mayfly/core'
import { removeSnapshot, snapshots } from '@mayfly/core/engine'
import { expect, test } from 'vitest'
import { useBench } from './bench.js'

const bench = useBench()
const disk = { scratch: 'disk' } as const
const [major = 0, minor = 0] = release().split('.').map(Number)
/** Whether a tmpfs keeps what an overlay writes beside its files. */
const memory = process.geteuid?.() === 0 || major > 6 || (major === 6 && minor >= 6)

test.each(['disk', 'memory'] as const)('a stopped container\'s files are kept (%s), and every clone has them for itself', async (scratch) => {
  // It listens before it has loaded what a copy begins with.
  const first = await run('redis', { scratch, command: ['redis-server', '--appendonly', 'yes'], ready: wait.log(/Ready to accept connections/) })
  await redis(first, 'set', 'who', 'prepared')
  await first.exec(['rm', '-rf', '/usr/share/bug'])
  await using snapshot = await first.snapshot({ label: 'a cache' })
  expect(snapshot).toMatchObject({ label: 'a cache', image: 'redis' })
  expect(snapshot.size).toBeGreaterThan(50)
  const clones = await Promise.all([snapshot.run(), snapshot.run(), snapshot.run({ env: { WHICH: 'third' } })])
  for (const [nth, clone] of clones.entries()) {
    expect(await redis(clone, 'get', 'who')).toBe('prepared')
    await redis(clone, 'set', 'who', `clone ${String(nth)}`)
    expect((await clone.exec(['test', '-e', '/usr/share/bug'])).exitCode).toBe(1)
  }
  expect(await Promise.all(clones.map((clone) => redis(clone, 'get', 'who')))).toEqual(['clone 0', 'clone 1', 'clone 2'])
  expect((await clones[2]?.exec(['sh', '-c', 'echo $WHICH']))?.stdout).toBe('third\n')
  await expect(snapshot.remove()).rejects.toMatchObject({ code: 'ERR_MAYFLY_STORE_BUSY' })
  const again = await clones[0]?.snapshot({ key: 'second-generation' })
  await Promise.all(clones.slice(1).map((clone) => clone.stop({ timeout: 0 })))
  const grandchild = await again?.run()
  expect(grandchild === undefined ? '' : await redis(grandchild, 'get', 'who')).toBe('clone 0')
  await grandchild?.stop({ timeout: 0 })
  await again?.remove()
})

test.each(['disk', 'memory'] as const)('of one that goes on the files are kept as they are at the moment (%s)', async (scratch) => {
  await using first = await run('redis', { scratch, command: ['redis-server', '--appendonly', 'yes'], ready: wait.log(/Ready to accept connections/) })
  await redis(first, 'set', 'who', 'before')
  await first.exec(['rm', '-rf', '/usr/share/bug'])
  const freezes = await first.pause().then(() => true, (error: unknown) => (error as { code: string }).code !== 'ERR_MAYFLY_LIMIT_UNSUPPORTED')
  if (!freezes) {
    await expect(first.snapshot({ live: true })).rejects.toMatchObject({ code: 'ERR_MAYFLY_LIMIT_UNSUPPORTED' })
    expect(await redis(first, 'get', 'who')).toBe('before')
    return
  }
  await first.unpause()
  await using snapshot = await first.snapshot({ live: true, clear: ['data/*.pid'] })
  await redis(first, 'set', 'who', 'after')
  await using clone = await snapshot.run()
  expect(await Promise.all([first, clone].map((one) => redis(one, 'get', 'who')))).toEqual(['after', 'before'])
  expect((await clone.exec(['test', '-e', '/usr/share/bug'])).exitCode).toBe(1)
  // It stands still after as it did before.
  await first.pause()
  await using second = await first.snapshot({ live: true })
  await using later = await second.run()
  expect(await redis(later, 'get', 'who')).toBe('after')
  await first.unpause()
  expect(await redis(first, 'get', 'who')).toBe('after')
  expect((await first.exec(['ls', '/usr/share/bug'])).exitCode).not.toBe(0)
})

test('changes in memory are kept as they are: what is gone, replaced, linked, owned and marked', async () => {
  const look = 'cd /srv/x; stat -c "%n %a %u:%g %h %Y" file twin dir su; readlink link; ls dir /home 2>&1; test -p pipe && echo pipe; cat /etc/motd; sha256sum big'
  const first = await run('busybox', { scratch: 'memory', command: ['sleep', '1000'] })
  const { exitCode, stderr } = await first.exec(['sh', '-euc', `mkdir -p /srv/x/dir /home && cd /srv/x && echo 1 > file && ln file twin && ln -s nowhere link && mkfifo pipe && cp /bin/busybox su && chown 5:6 su && chmod 4711 su
    head -c 40000000 /dev/urandom > big; echo changed > /etc/motd; rm -r /home; mkdir /home; touch -d @1000 file dir su`])
  expect([exitCode, stderr]).toEqual([0, ''])
  const before = (await first.exec(['sh', '-c', look])).stdout
  expect(before).toMatch(/^file 644 0:0 2 1000\ntwin .*\ndir .*\nsu 4711 5:6 1 1000\nnowhere\n/)
  await using snapshot = await first.snapshot({ timeout: 0 })
  await using clone = await snapshot.run()
  expect((await clone.exec(['sh', '-c', look])).stdout).toBe(before)
  const runs = join(bench.home, 'home/runs')
  // Before Linux 6.6 an ordinary user's changes lie on disk whatever is asked: the clone's, which lives.
  expect(readdirSync(runs).flatMap((id) => readdirSync(join(runs, id, 'scratch')))).toEqual(memory ? [] : [clone.id])
})

test('PostgreSQL is set up once', { timeout: 90_000 }, async () => {
  const ready = wait.all(wait.log(/ready to accept connections/, { times: 2 }), wait.port(5432))
  const db = await run('postgres:17', { ...disk, env: { POSTGRES_PASSWORD: 'x' }, ready })
  expect((await db.exec(['psql', '-U', 'postgres', '-c', 'CREATE TABLE t AS SELECT generate_series(1, 1000) n'])).exitCode).toBe(0)
  await using snapshot = await db.snapshot()
  // It listens before it has looked through its data.
  await using clone = await snapshot.run({ ready: wait.log(/ready to accept connections/) })
  expect((await clone.exec(['psql', '-U', 'postgres', '-Atc', 'SELECT count(*) FROM t'])).stdout).toBe('1000\n')
  const lines: string[] = []
  for await (const { text } of clone.logs()) lines.push(text)
  expect(lines.join('\n')).toContain('skipping initialisation')
  expect(lines.join('\n')).not.toContain('was not properly shut down')
})

test('it is found again by its key, unless it is damaged', async () => {
  const first = await run('busybox', { ...disk, command: ['sh', '-c', 'mkdir -p /run/x; echo 1 > /run/x/pid; echo kept > /file; exec sleep 1000'] })
  await first.exec(['sh', '-c', 'until [ -s /file ]; do usleep 1000; done'])
  await first.snapshot({ key: 'found-again', timeout: 0 })
  const opened = await openSnapshot('found-again', { command: ['sh', '-c', 'cat /file; ls /run/x; exec sleep 1000'] })
  const clone = await opened?.run()
  let text = ''
  for await (const line of clone?.logs({ follow: true }) ?? []) {
    text += line.text
    break
  }
  expect(text).toBe('kept')
  expect((await clone?.exec(['ls', '/run/x']))?.stdout).toBe('')
  await clone?.stop({ timeout: 0 })
  expect((await snapshots()).map(({ key }) => key)).toEqual(['found-again'])
  const tree = join(bench.home, 'home/snapshots/found-again/tree')
  truncateSync(join(tree, 'file'), 0)
  // Known to be whole in this process, found damaged by the next.
  expect(await fresh('found-again')).toBe('undefined')
  await removeSnapshot('found-again')
  expect(readdirSync(join(bench.home, 'home/snapshots'))).toEqual([])
  expect(await openSnapshot('found-again')).toBeUndefined()
})

test('what cannot be kept says so', async () => {
  const copied = await run('busybox', { command: ['sleep', '1000'], driver: 'copy' })
  await expect(copied.snapshot()).rejects.toMatchObject({ code: 'ERR_MAYFLY_UNSUPPORTED', hint: expect.stringContaining('overlay') as string })
  await copied.stop({ timeout: 0 })
  await expect(copied.snapshot()).rejects.toMatchObject({ code: 'ERR_MAYFLY_CONTAINER_NOT_FOUND' })
  await expect(openSnapshot('../escape')).rejects.toMatchObject({ code: 'ERR_MAYFLY_OPTION_INVALID' })
})

async function redis(container: Container, ...words: string[]): Promise<string> {
  return (await container.exec(['redis-cli', ...words])).stdout.trim()
}

async function fresh(key: string): Promise<string> {
  const { execFile } = await import('node:child_process')
  const { promisify } = await import('node:util')
  const script = `import { openSnapshot } from '@mayfly/core'; console.log(String(await openSnapshot(${JSON.stringify(key)})))`
  return (await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script])).stdout.trim()
}

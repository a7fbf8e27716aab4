import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import type { Container, PostgresContainer, RedisContainer, MysqlContainer } from '@mayfly/core'
import { openContainer } from '@mayfly/core/engine'
import { expect, test, vi } from 'vitest'
import { failure } from '../place.js'
import { openRun, take, useRun } from './project.js'

// Real servers, on a machine that others use too.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })

const SHOUT = 'use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalPort => 53, Proto => "udp") or die; print STDERR "up\n"; while (defined $s->recv(my $m, 65536)) { $s->send(uc($m) . " of $ENV{HOSTNAME}") }'
const CONFIG = `
import { defineConfig, image, mariadb, postgres, redis, wait } from '@mayfly/core'

const store = redis({ exports: { STORE_URL: store => store.url } })
const middle = redis('redis:7.0', { needs: { store } })
export default defineConfig({
  services: {
    store,
    middle,
    app: image('busybox', {
      needs: { cache: store, middle },
      env: (self, { cache, middle }) => ({ CACHE: cache.inside.url, OUTSIDE: cache.url, MIDDLE: middle.inside.host + ':' + middle.inside.port(6379), SELF: self.host + ':' + self.port(8080) }),
      ports: [8080],
      command: ['sh', '-c', 'nc -ll -p 8080 -e echo hello'],
    }),
    eager: redis({ scope: 'worker', start: 'eager' }),
    shout: image('debian', { command: ['perl', '-e', ${JSON.stringify(SHOUT)}], ports: ['53/udp'], ready: wait.log('up') }),
    shared: redis({ scope: 'run' }),
    checked: image('busybox', { command: ['sh', '-c', 'touch /tmp/well; exec sleep 1000'], healthcheck: { test: ['CMD', 'ls', '/tmp/well'], interval: 50, retries: 2 } }),
    pg: postgres('postgres:17', {
      scope: 'worker', isolation: 'database', env: { POSTGRES_DB: 'app' }, exports: { DATABASE_URL: pg => pg.url },
      prepare: async pg => {
        const done = await pg.exec(['psql', '-v', 'ON_ERROR_STOP=1', '-U', pg.user, '-d', pg.database], { input: 'CREATE TABLE t (id serial, x int); INSERT INTO t (x) SELECT generate_series(1, 20)' })
        if (done.exitCode !== 0) throw new Error(done.stderr)
      },
    }),
    my: mariadb('mariadb:10.11', { isolation: 'database', scope: 'file', env: { MARIADB_USER: 'me', MARIADB_PASSWORD: 'secret' }, prepare: async my => {
      const done = await my.exec(['mariadb', '-uroot', '-p' + my.rootPassword, my.database], { input: 'CREATE TABLE t (x int); INSERT INTO t VALUES (1), (2)' })
      if (done.exitCode !== 0) throw new Error(done.stderr)
    } }),
    keys: redis({ isolation: 'database', scope: 'test', prepare: async keys => void (await keys.exec(['redis-cli', 'set', 'who', 'prepared'])) }),
  },
})
`

const run = useRun(CONFIG)

const psql = async (db: PostgresContainer, text: string): Promise<string> => (await db.exec(['psql', '-qAt', '-U', db.user, '-d', db.database], { input: text })).stdout.trim()

test('a service runs after those it needs, on a network with them, and knows where they are', async () => {
  const session = run.session('needs.test.ts')
  const app = await take<Container>(session, { name: 'app' })
  const store = await take<RedisContainer>(session, { name: 'store' })
  const { stdout } = await app.exec(['env'])
  const env = Object.fromEntries(stdout.trim().split('\n').map(line => line.split(/=(.*)/s).slice(0, 2)))
  expect(env).toMatchObject({ CACHE: 'redis://cache:6379', OUTSIDE: store.url, MIDDLE: 'middle:6379', SELF: `${app.host}:${String(app.port(8080))}` })
  // By its key, and by its name in the configuration; the file's own instance is the one that is needed.
  await store.exec(['redis-cli', 'set', 'a', '1'])
  for (const name of ['cache', 'store', 'middle']) {
    const said = await app.exec(['sh', '-c', `echo get a | nc ${name} 6379 -w 2`])
    expect([name, said.stdout]).toEqual([name, name === 'middle' ? '$-1\r\n' : '$1\r\n1\r\n'])
  }
  // Given back, the needed one goes with the last who holds it.
  const needed = store.id
  await store.lease.giveBack()
  expect((await app.exec(['sh', '-c', 'echo ping | nc cache 6379 -w 2'])).stdout).toBe('+PONG\r\n')
  await app.lease.giveBack()
  expect(await failure(openContainer(needed))).toMatchObject({ code: 'ERR_MAYFLY_CONTAINER_NOT_FOUND' })
  await session.close()
})

test('a handle says where other containers reach it', async () => {
  const session = run.session('inside.test.ts')
  const [one, other] = await Promise.all([take<RedisContainer>(session, { name: 'redis' }), take<RedisContainer>(session, { name: 'redis', as: 'other' })])
  const { hostname } = new URL(other.inside.url)
  expect((await one.exec(['redis-cli', '-h', hostname, '-p', String(other.inside.port(6379)), 'ping'])).stdout).toBe('PONG\n')
  await session.close()
})

test('what is eager starts with the run, for every worker', async () => {
  await expect.poll(() => run.events().filter(({ event, name }) => event === 'ready' && name === 'eager').map(({ slot }) => slot).sort(), { timeout: 60_000 }).toEqual([1, 2])
})

test('PostgreSQL by database: one server, a copy of the prepared one for every worker, brought back between files', async () => {
  const [first, second] = [run.session('a.test.ts', 1), run.session('b.test.ts', 2)]
  const [one, two] = await Promise.all([take<PostgresContainer>(first, { name: 'pg' }), take<PostgresContainer>(second, { name: 'pg' })])
  expect(one.id).toBe(two.id)
  expect([one.database, two.database]).toEqual(['app_1', 'app_2'])
  expect(run.run.address.addresses[`${run.directory}/mayfly.config.ts`]?.['2']?.['pg']?.exports).toEqual({ DATABASE_URL: two.url })
  await psql(one, 'INSERT INTO t (x) VALUES (99)')
  expect([await psql(one, 'SELECT count(*) FROM t'), await psql(two, 'SELECT count(*) FROM t')]).toEqual(['21', '20'])
  // A pause would meet all workers.
  await expect(one.pause()).rejects.toMatchObject({ code: 'ERR_MAYFLY_OPTION_INVALID' })
  await Promise.all([first.close(), second.close()])
  const next = await take<PostgresContainer>(run.session('c.test.ts', 1), { name: 'pg' })
  expect(await psql(next, 'SELECT count(*), max(x) FROM t')).toBe('20|20')
  const own = await take<PostgresContainer>(run.session('c.test.ts', 1), { name: 'pg', scope: 'file' })
  expect([own.id, own.database === next.database, await psql(own, 'SELECT count(*) FROM t')]).toEqual([next.id, false, '20'])
})

test('MariaDB by database: for its user too, and gone with the file', async () => {
  const session = run.session('a.test.ts')
  const my = await take<MysqlContainer>(session, { name: 'my' })
  expect([my.user, my.database]).toEqual(['me', 'mayfly_1'])
  const { stdout, stderr } = await my.exec(['mariadb', '-N', '-h', '127.0.0.1', '-ume', '-psecret', my.database], { input: 'SELECT COUNT(*) FROM t' })
  expect([stdout.trim(), stderr]).toEqual(['2', ''])
  await session.close()
})

test('Redis by database: tests that run at the same time have one each', async () => {
  const session = run.session('a.test.ts')
  const keys = await Promise.all(['1', '2', '3'].map(id => take<RedisContainer>(session, { name: 'keys', test: { id, concurrent: true } })))
  expect(new Set(keys.map(({ url }) => url)).size).toBe(3)
  expect(new Set(keys.map(({ id }) => id)).size).toBe(1)
  const ask = async ({ url, exec }: RedisContainer, ...words: readonly string[]): Promise<string> =>
    (await exec(['redis-cli', '-n', new URL(url).pathname.slice(1), ...words])).stdout.trim()
  await ask(keys[0] as RedisContainer, 'set', 'who', 'changed')
  expect(await Promise.all(keys.map(one => ask(one, 'get', 'who')))).toEqual(['changed', 'prepared', 'prepared'])
  await keys[0]?.reset()
  expect(await ask(keys[0] as RedisContainer, 'get', 'who')).toBe('prepared')
  await session.close()
})

test('what died is told to whoever holds it, with its last words; the worker\'s next file has a new one behind the same address', async () => {
  const session = run.session('a.test.ts')
  await session.beginTest()
  const eager = await take<RedisContainer>(session, { name: 'eager' })
  await eager.kill()
  await expect.poll(() => session.endTest({ failed: true }), { timeout: 20_000 }).toMatchObject([{ name: 'eager', exit: { signal: 'SIGKILL' }, lines: expect.arrayContaining([expect.stringContaining('Ready to accept connections') as string]) as string[] }])
  expect(await eager.lease.describe()).toMatchObject({ ended: { signal: 'SIGKILL' } })
  await session.close()
  const next = await take<RedisContainer>(run.session('b.test.ts'), { name: 'eager' })
  expect([next.id === eager.id, next.url]).toEqual([false, eager.url])
  expect((await next.exec(['redis-cli', 'ping'])).stdout).toBe('PONG\n')
})

test('a server of the test\'s own is reached from its containers until the test is over', async () => {
  const server = createServer((_, answer) => void answer.end('from the test')).listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  const session = run.session('a.test.ts')
  try {
    const way = await session.reach(server, 'test')
    const one = await take<Container>(session, { name: 'app' })
    expect((await one.exec(['wget', '-qO-', way.url()])).stdout).toBe('from the test')
    await session.mend()
    expect((await one.exec(['wget', '-T', '5', '-qO-', `http://${way.host}:${String((server.address() as AddressInfo).port)}`])).exitCode).not.toBe(0)
  } finally {
    server.close()
    await session.close()
  }
})

test('a handle does what the handle of run() does: archives, streams in, names, processes, health, events, snapshots', async () => {
  const session = run.session('whole.test.ts')
  const server = createServer((_, answer) => void answer.end('from one test')).listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  try {
    const app = await take<Container>(session, { name: 'app' })
    const seen: string[] = []
    const happened = (async () => { for await (const { kind, time } of app.events()) { expect(time).toBeInstanceOf(Date); seen.push(kind) } })()
    await app.copyIn({ content: Readable.from(['a', 'b']) }, '/text', { mode: 0o600 })
    const tar = Buffer.concat(await (await app.archive('/text')).toArray() as Buffer[])
    await app.copyIn({ tar: Readable.from([tar]) }, '/srv')
    await app.copyIn({ tar }, '/opt')
    await app.copyIn({ content: Buffer.alloc(70 << 20, 1) }, '/large')
    expect((await app.exec(['sh', '-c', 'cat /text /srv/text /opt/text; stat -c %a /text; stat -c %s /large'])).stdout).toBe(`ababab600\n${String(70 << 20)}\n`)
    await expect(app.archive('/nowhere')).rejects.toMatchObject({ code: 'ERR_MAYFLY_PATH_NOT_FOUND' })
    await expect(app.copyIn({ content: 'x' }, '/late', { signal: AbortSignal.abort() })).rejects.toThrow(/abort/i)
    await app.rename('called-so')
    expect([app.name, (await openContainer(app.id)).name]).toEqual(['called-so', 'called-so'])
    expect((await app.top())[0]?.command).toEqual(['nc', '-ll', '-p', '8080', '-e', 'echo', 'hello'])
    const way = await app.reach(server)
    expect((await app.exec(['wget', '-qO-', way.url()])).stdout).toBe('from one test')
    await way.close()
    expect((await app.exec(['wget', '-T', '1', '-qO-', way.url()])).exitCode).not.toBe(0)
    expect([app.health, app.udpPorts]).toEqual([undefined, []])
    await app.kill('SIGSTOP')
    await app[Symbol.asyncDispose]()
    await happened
    expect(seen).toEqual(['renamed', 'killed', 'exited', 'stopped', 'removed'])

    const checked = await take<Container>(session, { name: 'checked' })
    expect(checked.health).toMatchObject({ status: 'healthy', failingStreak: 0 })
    await checked.exec(['rm', '/tmp/well'])
    await expect.poll(() => checked.health?.status, { timeout: 20_000 }).toBe('unhealthy')
    expect(checked.health?.log.at(-1)).toMatchObject({ exitCode: 1, start: expect.any(Date) as Date })
    await checked.exec(['touch', '/kept'])
    await checked.update({ memory: '64m' })
    expect((await checked.exec(['sh', '-c', 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null'])).stdout).toBe(`${64 << 20}\n`)
    await using live = await checked.snapshot({ label: 'in passing', live: true })
    expect(live.label).toBe('in passing')
    expect((await checked.exec(['ls', '/kept'])).exitCode).toBe(0)
    await using snapshot = await checked.snapshot({ label: 'by hand' })
    expect(snapshot).toMatchObject({ label: 'by hand', image: 'busybox', createdAt: expect.any(Date) as Date })
    const [one, two] = await Promise.all([snapshot.run({ env: { WHICH: 'one' } }), snapshot.run()])
    expect((await one.exec(['sh', '-c', 'ls /kept; echo $WHICH'])).stdout).toBe('/kept\none\n')
    expect(two.id).not.toBe(one.id)
    await expect(snapshot.run({ ready: { description: 'x', ready: () => Promise.resolve() } })).rejects.toMatchObject({ code: 'ERR_MAYFLY_UNSUPPORTED', message: expect.stringContaining('ready') as string })
    await one.stop({ timeout: 0 })
    await two[Symbol.asyncDispose]()
    const shared = await take<RedisContainer>(session, { name: 'shared' })
    await expect(shared.snapshot()).rejects.toMatchObject({ code: 'ERR_MAYFLY_OPTION_INVALID' })
  } finally {
    server.close()
    await session.close()
  }
})

test('figures of the run', async () => {
  const other = await openRun(CONFIG, { slots: 1 })
  const session = other.session('a.test.ts')
  await take(session, { name: 'store' })
  await session.close()
  const summary = await other.run.close()
  expect(summary).toMatchObject({ cloned: 0, died: 0, pulled: { images: 0 }, kept: [] })
  expect(summary?.started).toBeGreaterThan(0)
  expect(summary?.slowest).toMatchObject({ ms: expect.any(Number) as number })
  await other.close()
})

test('datagrams reach whatever instance stands behind the fixed address', async () => {
  const socket = createSocket('udp4')
  try {
    const places: string[] = []
    const answers: string[] = []
    for (const file of ['shout-1.test.ts', 'shout-2.test.ts']) {
      const session = run.session(file)
      const shout = await take<Container>(session, { name: 'shout' })
      expect(shout.udpPorts).toEqual([53])
      expect(() => shout.port(54, 'udp')).toThrow(expect.objectContaining({ code: 'ERR_MAYFLY_OPTION_INVALID', hint: expect.stringContaining('54/udp') as string }) as Error)
      places.push(`${shout.host}:${String(shout.port(53, 'udp'))}`)
      const answer = once(socket, 'message')
      socket.send(file, shout.port(53, 'udp'), shout.host)
      answers.push(String((await answer)[0]))
      expect(answers.at(-1)).toBe(`${file.toUpperCase()} of ${(await shout.exec(['hostname'])).stdout.trim()}`)
      await session.close()
    }
    expect(places[1]).toBe(places[0])
    expect(answers[1]?.split(' of ')[1]).not.toBe(answers[0]?.split(' of ')[1])
  } finally {
    socket.close()
  }
})

test('a PostgreSQL that waited for its lease has made its first client\'s cache already; one started for it has not', async () => {
  const pool = await openRun(`
    import { defineConfig, postgres } from '@mayfly/core'
    export default defineConfig({ services: { db: postgres('postgres:17', { prepare: async db => void (await db.exec(['true'])) }) } })`)
  try {
    const caches: string[] = []
    for (const file of ['first', 'second', 'third']) {
      const db = await take<PostgresContainer>(pool.session(`${file}.test.ts`), { name: 'db' })
      caches.push((await db.exec(['sh', '-c', 'ls /var/lib/postgresql/data/base/*/pg_internal.init 2> /dev/null | wc -l'])).stdout.trim())
    }
    expect(pool.events().filter(({ event }) => event === 'ready').map(({ from }) => from)).toEqual(['snapshot', 'snapshot', 'pool'])
    expect(caches).toEqual(['0', '0', '1'])
  } finally {
    await pool.close()
  }
})

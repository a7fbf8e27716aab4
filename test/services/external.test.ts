import type { Container, PostgresContainer, RedisContainer, MysqlContainer } from '@mayfly/core'
import { run as start, wait } from '@mayfly/core'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { failure, openPlace, type Place } from '../place.js'
import { openRun, take } from './project.js'

// Real servers, on a machine that others use too.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })

let place: Place
let pg: Container
let my: Container
let keys: Container
beforeAll(async () => {
  place = await openPlace();
  [pg, my, keys] = await Promise.all([
    start('postgres:17', { env: { POSTGRES_PASSWORD: 'secret' }, ready: wait.all(wait.log(/ready to accept connections/, { times: 2 }), wait.port(5432)) }),
    start('mariadb:10.11', { env: { MARIADB_ROOT_PASSWORD: 'secret', MARIADB_DATABASE: 'own' }, ready: wait.all(wait.log(/port: 3306/), wait.port(3306)) }),
    start('redis:7'),
  ])
})
afterAll(() => place.close())

const psql = async (text: string, database = 'postgres'): Promise<string> => {
  const { exitCode, stdout, stderr } = await pg.exec(['psql', '-qAt', '-v', 'ON_ERROR_STOP=1', '-U', 'postgres', '-d', database], { input: text })
  if (exitCode !== 0) throw new Error(stderr)
  return stdout.trim()
}
const databaseOf = (url: string): string => new URL(url).pathname.slice(1)

/** `prepare` and tests speak to the server by the project's own client. */
const SQL = `
import pg from 'pg'
import { createConnection } from 'mysql2/promise'
import { defineConfig, mariadb, postgres, redis } from '@mayfly/core'
const sql = (text: string) => async (db: any) => {
  if (db.url.startsWith('mysql')) {
    const connection = await createConnection({ uri: db.url, multipleStatements: true })
    await connection.query(text)
    return await connection.end()
  }
  const client = new pg.Client({ connectionString: db.url })
  await client.connect()
  await client.query(text)
  await client.end()
}
const TABLES = 'CREATE TABLE owner (id serial PRIMARY KEY, name text); CREATE TABLE pet (id int GENERATED ALWAYS AS IDENTITY, owner int REFERENCES owner); INSERT INTO owner (name) VALUES (\\'a\\'), (\\'b\\'); INSERT INTO pet (owner) VALUES (1), (2)'
`

test('PostgreSQL elsewhere: a database for every worker, copied, brought back, dropped; nothing else is touched', async () => {
  await psql('CREATE TABLE mine (x int); INSERT INTO mine VALUES (1)')
  const url = `postgres://postgres:secret@${pg.host}:${String(pg.port(5432))}/postgres`
  const run = await openRun(`${SQL}
    export default defineConfig({ services: { db: postgres({ scope: 'worker', external: '${url}', exports: { DATABASE_URL: db => db.url }, prepare: sql(TABLES) }) } })`)
  const known = run.run.address.addresses[`${run.directory}/mayfly.config.ts`] ?? {}
  const sessions = [run.session('a.test.ts', 1), run.session('b.test.ts', 2)]
  const dbs = await Promise.all(sessions.map(session => take<PostgresContainer>(session, { name: 'db' })))
  expect(dbs.map(({ url: own }) => own)).toEqual(['1', '2'].map(slot => known[slot]?.['db']?.exports['DATABASE_URL']))
  const names = dbs.map(({ url: own }) => databaseOf(own))
  expect(names[0]).toMatch(/^mayfly_[0-9a-f]{8}_db_1$/)
  await psql('DELETE FROM pet; DELETE FROM owner; INSERT INTO owner (name) VALUES (\'new\')', names[0])
  expect([await psql('SELECT count(*) FROM owner', names[0]), await psql('SELECT count(*) FROM owner', names[1])]).toEqual(['1', '2'])
  await dbs[0]?.reset()
  expect(await psql('SELECT (SELECT count(*) FROM owner), (SELECT count(*) FROM pet)', names[0])).toBe('2|2')
  expect(await psql('INSERT INTO owner (name) VALUES (\'next\') RETURNING id', names[0])).toBe('3')
  await expect(dbs[0]?.exec(['true'])).rejects.toMatchObject({ code: 'ERR_MAYFLY_UNSUPPORTED' })
  await Promise.all(sessions.map(session => session.close()))
  // The worker's next file begins as prepared.
  await take(run.session('c.test.ts', 1), { name: 'db' })
  expect(await psql('SELECT count(*) FROM owner', names[0])).toBe('2')
  await run.close()
  expect(await psql('SELECT count(*) FROM pg_database WHERE datname LIKE \'mayfly%\'')).toBe('0')
  expect(await psql('SELECT * FROM mine')).toBe('1')
})

test('a user who may create no databases: several workers are refused, one uses the database as it is', async () => {
  await psql('CREATE ROLE poor LOGIN PASSWORD \'poor\'; CREATE DATABASE poor OWNER poor')
  const url = `postgres://poor:poor@${pg.host}:${String(pg.port(5432))}/poor`
  const config = `${SQL}
    export default defineConfig({ services: { db: postgres({ external: '${url}', prepare: sql('CREATE TABLE t (x int)') }) } })`
  expect(await failure(openRun(config))).toMatchObject({ code: 'ERR_MAYFLY_UNSUPPORTED', message: expect.stringContaining('2 workers would share one') as string })
  const run = await openRun(config, { slots: 1 })
  const db = await take<PostgresContainer>(run.session('a.test.ts'), { name: 'db' })
  expect(db.url).toBe(url)
  expect(await psql('SELECT count(*) FROM t', 'poor')).toBe('0')
  await expect(db.reset()).rejects.toMatchObject({ code: 'ERR_MAYFLY_UNSUPPORTED' })
  await run.close()
  expect(await psql('SELECT to_regclass(\'t\') IS NOT NULL', 'poor')).toBe('t')
})

test('MariaDB elsewhere', async () => {
  const url = `mysql://root:secret@${my.host}:${String(my.port(3306))}/own`
  const run = await openRun(`${SQL}
    export default defineConfig({ services: { db: mariadb({ scope: 'worker', external: '${url}', prepare: sql('CREATE TABLE t (id int AUTO_INCREMENT PRIMARY KEY, x int); INSERT INTO t (x) VALUES (1), (2)') }) } })`)
  const db = await take<MysqlContainer>(run.session('a.test.ts'), { name: 'db' })
  const ask = async (text: string): Promise<string> => (await my.exec(['mariadb', '-N', '-uroot', '-psecret'], { input: text })).stdout.trim()
  await ask(`DELETE FROM ${db.database}.t; INSERT INTO ${db.database}.t (x) VALUES (9)`)
  await db.reset()
  expect(await ask(`SELECT GROUP_CONCAT(x) FROM ${db.database}.t; INSERT INTO ${db.database}.t (x) VALUES (3); SELECT LAST_INSERT_ID()`)).toBe('1,2\n3')
  await run.close()
  expect(await ask('SHOW DATABASES LIKE \'mayfly%\'')).toBe('')
})

test('Redis elsewhere, by a variable of the environment: databases that are empty', async () => {
  await keys.exec(['redis-cli', '-n', '1', 'set', 'mine', '1'])
  vi.stubEnv('MAYFLY_EXTERNAL_CACHE', `redis://${keys.host}:${String(keys.port(6379))}`)
  try {
    const run = await openRun(`import { defineConfig, redis } from '@mayfly/core'
      export default defineConfig({ services: { cache: redis({ scope: 'worker' }) } })`)
    const caches = await Promise.all([1, 2].map(slot => take<RedisContainer>(run.session(`${String(slot)}.test.ts`, slot), { name: 'cache' })))
    expect(caches.map(({ url }) => databaseOf(url))).toEqual(['2', '3'])
    await keys.exec(['redis-cli', '-n', '2', 'set', 'a', '1'])
    await caches[0]?.reset()
    expect((await keys.exec(['redis-cli', '-n', '2', 'dbsize'])).stdout).toBe('0\n')
    await keys.exec(['redis-cli', '-n', '3', 'set', 'a', '1'])
    await run.close()
    expect((await keys.exec(['redis-cli', 'info', 'keyspace'])).stdout.match(/^db\d+/gm)).toEqual(['db1'])
  } finally {
    vi.unstubAllEnvs()
  }
})

test('a server that is not there is an error before any test', async () => {
  expect(await failure(openRun(`${SQL} export default defineConfig({ services: { db: postgres({ external: 'postgres://a:b@127.0.0.1:1/x' }) } })`)))
    .toMatchObject({ code: 'ERR_MAYFLY_NOT_STARTED', message: expect.stringContaining('The external server of "db" at 127.0.0.1:1 cannot be used') as string })
})

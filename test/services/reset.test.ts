import type { PostgresContainer, RabbitmqContainer, RedisContainer, MysqlContainer } from '@mayfly/core'
import { expect, test, vi } from 'vitest'
import { take, useRun } from './project.js'

// Real servers, on a machine that others use too.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })

const CONFIG = `
import { defineConfig, mariadb, postgres, rabbitmq, redis } from '@mayfly/core'

const sql = (text: string) => async (db: any) => {
  const done = await db.exec(db.url.startsWith('postgres') ? ['psql', '-v', 'ON_ERROR_STOP=1', '-U', db.user, '-d', db.database] : ['mariadb', '-uroot', '-p' + db.password, db.database], { input: text })
  if (done.exitCode !== 0) throw new Error(done.stderr)
}
export default defineConfig({
  services: {
    pg: postgres('postgres:17', { scope: 'worker', prepare: sql(\`
      CREATE TABLE owner (id serial PRIMARY KEY, name text NOT NULL);
      CREATE TABLE pet (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, owner int REFERENCES owner, name text, upper text GENERATED ALWAYS AS (upper(name)) STORED);
      CREATE TABLE quiet (id int);
      CREATE MATERIALIZED VIEW pets AS SELECT count(*) AS n FROM pet;
      CREATE TABLE log (t text);
      CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log VALUES (new.name); RETURN new; END $$;
      CREATE TRIGGER noted AFTER INSERT ON pet FOR EACH ROW EXECUTE FUNCTION note();
      INSERT INTO owner (name) SELECT 'owner ' || n FROM generate_series(1, 50) n;
      INSERT INTO pet (owner, name) SELECT n, 'pet ' || n FROM generate_series(1, 50) n;
      INSERT INTO quiet SELECT generate_series(1, 100);
      REFRESH MATERIALIZED VIEW pets;\`) }),
    my: mariadb('mariadb:10.11', { scope: 'worker', prepare: sql(\`
      CREATE TABLE owner (id int AUTO_INCREMENT PRIMARY KEY, name varchar(50));
      CREATE TABLE pet (id int AUTO_INCREMENT PRIMARY KEY, owner int, name blob, FOREIGN KEY (owner) REFERENCES owner (id));
      INSERT INTO owner (name) VALUES ('one'), ('two');
      INSERT INTO pet (owner, name) VALUES (1, x'00ff27'), (2, 'b');\`) }),
    cache: redis({ scope: 'worker', reset: 'test', prepare: async cache => {
      await cache.exec(['redis-cli', 'set', 'who', 'prepared'])
      await cache.exec(['redis-cli', '-n', '3', 'rpush', 'list', 'a', 'b'])
    } }),
    plain: redis({ scope: 'file' }),
    queue: rabbitmq('rabbitmq:3', { scope: 'worker', prepare: async queue => {
      const definitions = { exchanges: [{ name: 'orders', vhost: '/', type: 'fanout', durable: true, auto_delete: false, internal: false, arguments: {} }], queues: [{ name: 'kept', vhost: '/', durable: true, auto_delete: false, arguments: {} }], bindings: [{ source: 'orders', vhost: '/', destination: 'kept', destination_type: 'queue', routing_key: '', arguments: {} }] }
      const done = await queue.exec(['sh', '-c', 'cat > /tmp/d.json && chmod 644 /tmp/d.json && rabbitmqctl import_definitions /tmp/d.json'], { input: JSON.stringify(definitions) })
      if (done.exitCode !== 0) throw new Error(done.stdout + done.stderr)
    } }),
  },
})
`

const run = useRun(CONFIG)

async function ask(db: PostgresContainer | MysqlContainer, text: string): Promise<string> {
  const command = db.url.startsWith('postgres') ? ['psql', '-qAt', '-U', db.user, '-d', db.database] : ['mariadb', '-N', '-uroot', `-p${db.password}`, db.database]
  const { exitCode, stdout, stderr } = await db.exec(command, { input: text })
  if (exitCode !== 0) throw new Error(stderr)
  return stdout.trim()
}

const FACTS = 'SELECT (SELECT count(*) FROM owner), (SELECT count(*) FROM pet), (SELECT string_agg(upper, \',\' ORDER BY id) FROM pet WHERE id < 3), (SELECT n FROM pets), (SELECT count(*) FROM log), (SELECT count(*) FROM quiet)'

test('PostgreSQL: rows, generated columns, sequences, references, views and triggers are as prepared, and clients live on', async () => {
  const first = run.session('a.test.ts')
  const db = await take<PostgresContainer>(first, { name: 'pg' })
  const before = await ask(db, FACTS)
  expect(before).toBe('50|50|PET 1,PET 2|50|50|100')
  // A client that stays: it is asked before and after.
  const client = await db.exec(['sh', '-c', `
    mkfifo /tmp/in; (psql -qAt -U ${db.user} -d ${db.database} < /tmp/in > /tmp/out 2>&1; echo ended >> /tmp/out) > /dev/null 2>&1 &
    (exec 3> /tmp/in; echo "CREATE TEMP TABLE mine (x int); INSERT INTO mine VALUES (7);" >&3; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo "SELECT x, (SELECT count(*) FROM owner) FROM mine;" >&3) > /dev/null 2>&1 &
  `])
  expect(client.exitCode).toBe(0)
  await ask(db, 'DELETE FROM pet; DELETE FROM owner WHERE id > 10; INSERT INTO owner (name) VALUES (\'new\'); REFRESH MATERIALIZED VIEW pets; SELECT nextval(\'owner_id_seq\')')
  await first.close()

  const second = run.session('b.test.ts')
  const again = await take<PostgresContainer>(second, { name: 'pg' })
  expect(again.id).toBe(db.id)
  expect(await ask(again, FACTS)).toBe(before)
  expect(await ask(again, 'INSERT INTO owner (name) VALUES (\'next\') RETURNING id')).toBe('51')
  await again.exec(['touch', '/tmp/go'])
  await expect.poll(async () => (await again.exec(['cat', '/tmp/out'])).stdout, { timeout: 20_000 }).toContain('7|51')
  await again.reset()
  expect(await ask(again, FACTS)).toBe(before)
  await second.close()
})

test('PostgreSQL: where nothing but a sequence went on, or nothing at all, that is seen too', async () => {
  const session = run.session('untouched.test.ts')
  const db = await take<PostgresContainer>(session, { name: 'pg' })
  await db.reset()
  const before = await ask(db, FACTS)
  for (const step of ["SELECT nextval('owner_id_seq')", "SELECT setval('owner_id_seq', 7)", 'SELECT 1', 'DELETE FROM quiet', 'BEGIN; DELETE FROM pet; ROLLBACK']) {
    await ask(db, step)
    await db.reset()
    expect([step, await ask(db, FACTS), await ask(db, 'SELECT last_value, is_called FROM owner_id_seq')]).toEqual([step, before, '50|t'])
  }
  await session.close()
})

test('PostgreSQL: a changed schema comes back, and an open transaction does not stand in the way', async () => {
  const session = run.session('c.test.ts')
  const db = await take<PostgresContainer>(session, { name: 'pg' })
  const before = await ask(db, FACTS)
  await ask(db, 'DROP TABLE pet CASCADE; CREATE TABLE extra (x int); ALTER TABLE owner ADD COLUMN age int')
  await db.exec(['sh', '-c', `(echo "BEGIN; INSERT INTO quiet VALUES (1); SELECT 'locked';"; sleep 60) 2> /dev/null | psql -qAt -U ${db.user} -d ${db.database} > /tmp/open 2>&1 &`])
  await expect.poll(async () => (await db.exec(['cat', '/tmp/open'])).stdout, { timeout: 20_000 }).toContain('locked')
  await db.reset()
  expect(await ask(db, FACTS)).toBe(before)
  expect(await ask(db, 'SELECT to_regclass(\'extra\') IS NULL, (SELECT count(*) FROM information_schema.columns WHERE table_name = \'owner\')')).toBe('t|2')
  // And from there once more.
  await ask(db, 'DELETE FROM pet')
  await db.reset()
  expect(await ask(db, FACTS)).toBe(before)
  await session.close()
})

test('MariaDB: rows, counters and definitions are as prepared', async () => {
  const facts = 'SELECT (SELECT COUNT(*) FROM owner), (SELECT COUNT(*) FROM pet), (SELECT HEX(name) FROM pet WHERE id = 1)'
  const session = run.session('a.test.ts')
  const db = await take<MysqlContainer>(session, { name: 'my' })
  const before = await ask(db, facts)
  expect(before).toBe('2\t2\t00FF27')
  await ask(db, 'DELETE FROM pet; DELETE FROM owner; INSERT INTO owner (name) VALUES (\'x\')')
  await session.close()
  const next = run.session('b.test.ts')
  const again = await take<MysqlContainer>(next, { name: 'my' })
  expect(again.id).toBe(db.id)
  expect(await ask(again, facts)).toBe(before)
  expect(await ask(again, 'INSERT INTO owner (name) VALUES (\'y\'); SELECT LAST_INSERT_ID()')).toBe('3')
  await ask(again, 'DROP TABLE pet; CREATE TABLE extra (x int); CREATE VIEW v AS SELECT 1')
  await again.reset()
  expect(await ask(again, facts)).toBe(before)
  expect(await ask(again, 'SHOW TABLES')).toBe('owner\npet')
  await next.close()
})

test('Redis: every database of it, before every test, even after FLUSHALL', async () => {
  const session = run.session('a.test.ts')
  const cache = await take<RedisContainer>(session, { name: 'cache' })
  const cli = async (...words: readonly string[]): Promise<string> => (await cache.exec(['redis-cli', ...words])).stdout.trim()
  await cli('flushall')
  await cli('set', 'other', '1')
  await session.beginTest()
  expect([await cli('get', 'who'), await cli('-n', '3', 'lrange', 'list', '0', '-1'), await cli('dbsize')]).toEqual(['prepared', 'a\nb', '1'])
  await expect(session.beginTest({ concurrent: true })).rejects.toMatchObject({ code: 'ERR_MAYFLY_OPTION_INVALID' })
  await session.close()
})

test('what was not prepared goes back to how it began', async () => {
  const session = run.session('a.test.ts')
  const plain = await take<RedisContainer>(session, { name: 'plain' })
  await plain.exec(['redis-cli', 'set', 'a', '1'])
  await plain.reset()
  expect((await plain.exec(['redis-cli', 'dbsize'])).stdout.trim()).toBe('0')
  await session.close()
})

test('RabbitMQ: queues, exchanges and users are as prepared, and queues are empty', async () => {
  const session = run.session('a.test.ts')
  let queue = await take<RabbitmqContainer>(session, { name: 'queue' })
  const { id } = queue
  const ctl = async (...words: readonly string[]): Promise<string> => {
    const { exitCode, stdout, stderr } = await queue.exec(['rabbitmqctl', '-q', ...words])
    if (exitCode !== 0) throw new Error(stdout + stderr)
    return stdout.trim().split('\n').sort().join(' ')
  }
  const publish = `{ok, X} = rabbit_exchange:lookup(rabbit_misc:r(<<"/">>, exchange, <<"orders">>)),
    rabbit_basic:publish(X, <<>>, [], <<"hello">>).`
  const facts = async (): Promise<readonly string[]> => [await ctl('list_queues', 'name', 'messages', '--no-table-headers'), await ctl('list_bindings', 'source_name', 'destination_name', '--no-table-headers'), await ctl('list_users', '--no-table-headers')]
  const before = await facts()
  expect(before[0]).toBe('kept\t0')
  await ctl('eval', publish)
  await ctl('eval', 'rabbit_amqqueue:declare(rabbit_misc:r(<<"/">>, queue, <<"extra">>), true, false, [], none, <<"me">>), ok.')
  await ctl('eval', 'rabbit_exchange:delete(rabbit_misc:r(<<"/">>, exchange, <<"orders">>), false, <<"me">>), ok.')
  await expect.poll(async () => (await facts())[0], { timeout: 20_000 }).toBe('extra\t0 kept\t1')
  await session.close()
  const next = run.session('b.test.ts')
  queue = await take<RabbitmqContainer>(next, { name: 'queue' })
  expect(queue.id).toBe(id)
  expect(await facts()).toEqual(before)
  await next.close()
})

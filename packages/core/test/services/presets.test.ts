import { expect, test } from 'vitest'
import type { FoundImage } from '../../src/container/index.js'
import { PRESETS, presetOf, type PresetName } from '../../src/services/presets/index.js'
import { runOptions, type Engine } from '../../src/services/start.js'
import type { Self, Service } from '../../src/services/types.js'

const self: Self = { host: 'h', port: (container) => container + 1 }

/** What each image's documentation says of its variables and ports, and what a test is told of it. */
const facts: readonly (readonly [PresetName, Record<string, string>, Record<string, string>])[] = [
  ['httpd', {}, { url: 'http://h:81' }],
  ['nginx', {}, { url: 'http://h:81' }],
  ['postgres', {}, { url: 'postgres://postgres:mayfly@h:5433/postgres', user: 'postgres', password: 'mayfly', database: 'postgres' }],
  ['postgres', { POSTGRES_USER: 'me', POSTGRES_PASSWORD: 'p@/w' }, { url: 'postgres://me:p%40%2Fw@h:5433/me', user: 'me', password: 'p@/w', database: 'me' }],
  ['mariadb', {}, { url: 'mysql://root:mayfly@h:3307/mayfly', user: 'root', password: 'mayfly', database: 'mayfly', rootPassword: 'mayfly' }],
  ['mariadb', { MYSQL_USER: 'me', MYSQL_PASSWORD: 'x' }, { url: 'mysql://me:x@h:3307/mayfly', user: 'me', password: 'x', database: 'mayfly', rootPassword: 'mayfly' }],
  ['mysql', { MYSQL_USER: 'me', MYSQL_PASSWORD: 'x', MYSQL_DATABASE: 'd' }, { url: 'mysql://me:x@h:3307/d', user: 'me', password: 'x', database: 'd', rootPassword: 'mayfly' }],
  ['mongodb', {}, { url: 'mongodb://h:27018' }],
  ['mongodb', { MONGO_INITDB_ROOT_USERNAME: 'me', MONGO_INITDB_ROOT_PASSWORD: 'x' }, { url: 'mongodb://me:x@h:27018/?authSource=admin', user: 'me', password: 'x' }],
  ['redis', {}, { url: 'redis://h:6380' }],
  ['valkey', {}, { url: 'redis://h:6380' }],
  ['rabbitmq', {}, { url: 'amqp://guest:guest@h:5673', user: 'guest', password: 'guest' }],
  ['rabbitmq', { RABBITMQ_DEFAULT_USER: 'me', RABBITMQ_DEFAULT_PASS: 'x', RABBITMQ_DEFAULT_VHOST: 'v' }, { url: 'amqp://me:x@h:5673/v', user: 'me', password: 'x' }],
  ['kafka', {}, { bootstrap: 'h:9093' }],
  ['elasticsearch', {}, { url: 'http://h:9201' }],
  ['opensearch', {}, { url: 'http://h:9201' }],
  ['minio', {}, { url: 'http://h:9001', accessKey: 'mayfly', secretKey: 'mayfly-secret', region: 'us-east-1' }],
  ['localstack', {}, { url: 'http://h:4567', accessKey: 'test', secretKey: 'test', region: 'us-east-1' }],
  ['mailpit', {}, { url: 'http://h:8026', smtp: 'smtp://h:1026' }],
  ['keycloak', {}, { url: 'http://h:8081', adminUser: 'admin', adminPassword: 'admin' }],
]

test.each(facts)('%s with %j', (name, own, expected) => {
  const { env } = PRESETS[name]
  expect(PRESETS[name].facts(self, { ...(typeof env === 'function' ? env(self) : env), ...own })).toEqual(expected)
})

test('every preset is told of, and known by its image', () => {
  expect([...new Set(facts.map(([name]) => name))].sort()).toEqual(Object.keys(PRESETS).sort())
  for (const [name, { image }] of Object.entries(PRESETS)) expect([image, presetOf(image)]).toEqual([image, name])
})

test('Kafka tells its clients the address they reach it at', () => {
  const { env } = PRESETS.kafka
  expect(typeof env === 'function' ? env(self) : env).toMatchObject({ KAFKA_ADVERTISED_LISTENERS: 'PLAINTEXT://h:9093,INSIDE://localhost:19092' })
})

test.each([
  ['postgres', /ready to accept connections/, 2, 'LOG:  database system is ready to accept connections'],
  ['mariadb', /port: 3306/, 1, "Version: '11.8.2-MariaDB-ubu2404'  socket: '/run/mysqld/mysqld.sock'  port: 3306  mariadb.org binary distribution"],
  ['mysql', /port: 3306/, 1, "[Server] /usr/sbin/mysqld: ready for connections. Version: '8.4.6'  socket: '/var/run/mysqld/mysqld.sock'  port: 3306  MySQL Community Server - GPL."],
  ['mongodb', /connections/, 1, '{"c":"NETWORK","id":23016,"msg":"Waiting for connections","attr":{"port":27017,"ssl":"off"}}'],
  ['rabbitmq', /complete/, 1, ' completed with 3 plugins.\n2026-01-01 [info] <0.9.0> Server startup complete; 3 plugins started.'],
  ['kafka', /started/, 1, '[KafkaRaftServer nodeId=1] Kafka Server started (kafka.server.KafkaRaftServer)'],
] as const)('%s is ready by its log', (name, _, times, line) => {
  const ready = PRESETS[name].ready({})
  expect(ready.log?.times).toBe(times)
  expect(line).toMatch(ready.log?.line ?? /never/)
})

test('entrypoints\' temporary servers do not count', () => {
  expect("Version: '11.8'  socket: '/run/mysqld/mysqld.sock'  port: 0  mariadb.org").not.toMatch(PRESETS.mariadb.ready({}).log?.line ?? /./)
  expect("X Plugin ready for connections. Bind-address: '::' port: 33060, socket: /x").not.toMatch(PRESETS.mysql.ready({}).log?.line ?? /./)
  expect(PRESETS.mongodb.ready({ MONGO_INITDB_ROOT_USERNAME: 'me' }).log?.times).toBe(2)
})

const OFFICIAL = { entrypoint: ['docker-entrypoint.sh'], command: ['postgres'] } as unknown as FoundImage
const direct = { entrypoint: [], command: ['postgres'], user: 'postgres' }

/** What a copy of a prepared PostgreSQL is started with, beyond what its first instance was. */
test.each<[string, object, FoundImage | undefined, object]>([
  ['the official image', {}, OFFICIAL, direct],
  ['settings of the server', { command: ['-c', 'fsync=off'] }, OFFICIAL, { ...direct, command: ['postgres', '-c', 'fsync=off'] }],
  ['several databases', { isolation: 'database' }, OFFICIAL, direct],
  ['no copy', {}, undefined, {}],
  ['an entrypoint of the service', { entrypoint: ['x'] }, OFFICIAL, { entrypoint: ['x'] }],
  ['another user', { user: '5' }, OFFICIAL, { user: '5' }],
  ['another program', { command: ['pg_ctl'] }, OFFICIAL, { command: ['pg_ctl'] }],
  ['a shell\'s line', { command: 'postgres' }, OFFICIAL, { command: 'postgres' }],
  ['an image with an entrypoint of its own', {}, { ...OFFICIAL, entrypoint: ['mine.sh'] }, {}],
  ['an image that starts something else', {}, { ...OFFICIAL, command: ['mine'] }, {}],
])('past the entrypoint of PostgreSQL: %s', (_, options, again, expected) => {
  expect(startOf('postgres', options, again)).toEqual(expected)
})

const MARIA = { entrypoint: ['docker-entrypoint.sh'], command: ['mariadbd'] } as unknown as FoundImage

test.each<[string, object, FoundImage, object]>([
  ['the official image', {}, MARIA, { entrypoint: [], command: ['mariadbd'], user: 'mysql' }],
  ['an older one', {}, { ...MARIA, command: ['mysqld'] }, { entrypoint: [], command: ['mysqld'], user: 'mysql' }],
  ['settings of the server', { command: ['--sql-mode='] }, MARIA, { entrypoint: [], command: ['mariadbd', '--sql-mode='], user: 'mysql' }],
  ['another program', { command: ['mariadb-upgrade'] }, MARIA, { command: ['mariadb-upgrade'] }],
])('past the entrypoint of MariaDB: %s', (_, options, again, expected) => {
  expect(startOf('mariadb', options, again)).toEqual(expected)
})

test('MySQL\'s entrypoint is not passed: it makes its socket be found where clients look', () => {
  expect(startOf('mysql', {}, { ...MARIA, command: ['mysqld'] })).toEqual({})
})

/** What a copy of a preset's service is started with, beyond what its first instance was. */
function startOf(preset: PresetName, options: object, again: FoundImage | undefined): object {
  const engine = { wait: { log: () => 0, port: () => 0, all: () => 0 } } as unknown as Engine
  const service = { image: preset, preset, options } as unknown as Service
  const { entrypoint, command, user } = runOptions(engine, service, { self }, again)
  return JSON.parse(JSON.stringify({ entrypoint, command, user })) as object
}

test('servers are asked to end in the way that is clean for them, unless the service says otherwise', () => {
  const engine = { wait: { log: () => 0, port: () => 0, all: () => 0, http: () => 0 } } as unknown as Engine
  const stopSignal = (preset: PresetName, options: object = {}): unknown => runOptions(engine, { image: preset, preset, options } as unknown as Service, { self }).stopSignal
  expect([stopSignal('postgres'), stopSignal('httpd'), stopSignal('nginx'), stopSignal('redis')]).toEqual(['SIGINT', 'SIGWINCH', 'SIGQUIT', undefined])
  expect(stopSignal('postgres', { stopSignal: 'SIGQUIT' })).toBe('SIGQUIT')
})

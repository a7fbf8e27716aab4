import type { Container } from '../../container/types.js'
import { mongoState } from './mongo-state.js'
import { mysqlDatabases, mysqlState } from './mysql-state.js'
import { greetPostgres } from './postgres-greet.js'
import { POSTGRES_DATABASES, POSTGRES_STATE } from './postgres-state.js'
import { urlOf, type Environment, type Facts, type Preset, type PresetReadiness, type Resettable, type SeenInside } from './types.js'
import type { Self } from '../types.js'

interface SqlFacts {
  /** `scheme://user:password@host:port/database` */
  readonly url: string
  readonly user: string
  readonly password: string
  readonly database: string
}

/** A server of SQL databases. */
export interface SqlContainer extends Container, SqlFacts, Resettable, SeenInside<SqlFacts> {}

/** `postgres://…` */
export type PostgresContainer = SqlContainer
/** `mysql://…` */
export interface MysqlContainer extends SqlContainer {
  readonly rootPassword: string
}

interface MongodbFacts {
  /** `mongodb://[user:password@]host:port` */
  readonly url: string
}

export interface MongodbContainer extends Container, MongodbFacts, Resettable, SeenInside<MongodbFacts> {}

export const POSTGRES: Preset = {
  image: 'postgres:17',
  ports: [5432],
  // A first write to a segment of the log copies it whole into a clone's own files: 1 MiB instead of 16.
  env: { POSTGRES_PASSWORD: 'mayfly', POSTGRES_INITDB_ARGS: '--wal-segsize=1' },
  // Bash, twice, and a search through the data: 30 ms.
  past: { entrypoint: ['docker-entrypoint.sh'], programs: ['postgres'], user: 'postgres' },
  // A "fast" end. At SIGTERM it would wait for its clients to leave.
  stopSignal: 'SIGINT',
  // The first "ready" is the entrypoint's temporary server, which listens on its socket only.
  ready: () => ({ port: 5432, log: { line: /ready to accept connections/, times: 2 } }),
  readyAgain: () => ({ port: 5432, log: { line: /ready to accept connections/, times: 1 } }),
  greet: greetPostgres,
  clear: ['var/lib/postgresql/data/postmaster.pid'],
  facts: (self, env) => {
    const user = env['POSTGRES_USER'] ?? 'postgres'
    const password = env['POSTGRES_PASSWORD'] ?? ''
    const database = env['POSTGRES_DB'] ?? user
    return { url: urlOf('postgres', self, 5432, { user, password, path: database }), user, password, database }
  },
  state: POSTGRES_STATE,
  databases: POSTGRES_DATABASES,
}

export const MARIADB: Preset = {
  ...mysqlLike('mariadb:11', 'MARIADB', 'mariadb'),
  // Its images before 11 start it under its older name.
  past: { entrypoint: ['docker-entrypoint.sh'], programs: ['mariadbd', 'mysqld'], user: 'mysql' },
}
export const MYSQL: Preset = mysqlLike('mysql:8.4', 'MYSQL', 'mysql')

/** [The images' entrypoints: `PREFIX_ROOT_PASSWORD`, `_DATABASE`, `_USER`, `_PASSWORD`; MariaDB's knows the MYSQL names too.] */
function mysqlLike(image: string, prefix: string, program: 'mariadb' | 'mysql'): Preset {
  const read = (env: Environment, name: string): string | undefined => env[`${prefix}_${name}`] ?? env[`MYSQL_${name}`]
  return {
    image,
    ports: [3306],
    env: { [`${prefix}_ROOT_PASSWORD`]: 'mayfly', [`${prefix}_DATABASE`]: 'mayfly' },
    // The entrypoint's temporary server says port 0.
    ready: () => ({ port: 3306, log: { line: /\bport: 3306\b/, times: 1 } }),
    clear: ['var/lib/mysql/*.pid'],
    facts: (self, env) => {
      const rootPassword = read(env, 'ROOT_PASSWORD') ?? ''
      const user = read(env, 'USER') ?? 'root'
      const password = user === 'root' ? rootPassword : read(env, 'PASSWORD') ?? ''
      const database = read(env, 'DATABASE') ?? ''
      const path = database === '' ? {} : { path: database }
      return { url: urlOf('mysql', self, 3306, { user, password, ...path }), user, password, database, rootPassword }
    },
    state: mysqlState(program, prefix),
    databases: mysqlDatabases(program, prefix),
  }
}

export const MONGODB: Preset = {
  image: 'mongo:7',
  aliases: ['mongo', 'mongodb-community-server'],
  ports: [27017],
  env: {},
  ready: mongoReady,
  readyAgain: () => mongoReady({}),
  clear: ['data/db/mongod.lock'],
  facts: mongoFacts,
  state: mongoState,
}

/** With a root user the entrypoint first starts a server of its own to make it. */
function mongoReady(env: Environment): PresetReadiness {
  return { port: 27017, log: { line: /[Ww]aiting for connections/, times: env['MONGO_INITDB_ROOT_USERNAME'] === undefined ? 1 : 2 } }
}

function mongoFacts(self: Self, env: Environment): Facts {
  const user = env['MONGO_INITDB_ROOT_USERNAME']
  if (user === undefined) return { url: urlOf('mongodb', self, 27017) }
  const password = env['MONGO_INITDB_ROOT_PASSWORD'] ?? ''
  return { url: `${urlOf('mongodb', self, 27017, { user, password })}/?authSource=admin`, user, password }
}

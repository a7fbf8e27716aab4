import { inContainer } from './tools.js'
import type { Environment, StateKeeping } from './types.js'

const KEPT = '/var/lib/mayfly'

/** The image's own tools: mongodump, mongorestore and mongosh. Collections are replaced, connections live on. */
export const mongoState: StateKeeping = {
  keep: async ({ container, env }) => {
    await inContainer(container, `set -e; mkdir -p ${KEPT}; mongodump --quiet ${login(env)} --archive=${KEPT}/mongo.archive`, { env: words(env) })
  },
  restore: async ({ container, env }) => {
    await inContainer(container, `set -e
      mongosh --quiet ${login(env)} --eval "$0"
      mongorestore --quiet ${login(env)} --archive=${KEPT}/mongo.archive --drop`, { words: [EMPTY], env: words(env) })
  },
}

/** Databases that hold nothing of the server's own go; those that were kept come back with their indexes. */
const EMPTY = `db.adminCommand({ listDatabases: 1, nameOnly: true }).databases.map(({ name }) => name)
  .filter(name => !['admin', 'config', 'local'].includes(name)).forEach(name => db.getSiblingDB(name).dropDatabase())`

function login(env: Environment): string {
  return env['MONGO_INITDB_ROOT_USERNAME'] === undefined ? '' : '--username "$MAYFLY_USER" --password "$MAYFLY_PASSWORD" --authenticationDatabase admin'
}

function words(env: Environment): Record<string, string> {
  return { MAYFLY_USER: env['MONGO_INITDB_ROOT_USERNAME'] ?? '', MAYFLY_PASSWORD: env['MONGO_INITDB_ROOT_PASSWORD'] ?? '' }
}

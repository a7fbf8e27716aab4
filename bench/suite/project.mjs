import { fileURLToPath } from 'node:url'

const postgres = JSON.stringify(fileURLToPath(new URL('../postgres.mjs', import.meta.url)))
const tests = (place) => `
for (const nth of [1, 2, 3, 4]) test('query ' + nth, async () => { await firstQuery(...${place}) })
`
const imports = `import { firstQuery, MIGRATION } from ${postgres}
import { createRequire } from 'node:module'
import { afterAll, beforeAll, expect, test } from 'vitest'
`
const rival = `const { GenericContainer, Wait } = createRequire(import.meta.url)(process.env.TESTCONTAINERS)
const start = async () => {
  const container = await new GenericContainer(process.env.IMAGE).withEnvironment({ POSTGRES_HOST_AUTH_METHOD: 'trust' }).withExposedPorts(5432)
    .withWaitStrategy(Wait.forLogMessage(/ready to accept connections/, 2)).start()
  await container.copyContentToContainer([{ content: MIGRATION, target: '/tmp/m.sql' }])
  await container.exec(['psql', '-q', '-U', 'postgres', '-f', '/tmp/m.sql'])
  return container
}
`

/** Ways to have a prepared PostgreSQL in every file, by what the service says beside that. */
const OURS = { mayfly: '', worker: "scope: 'worker', ", databases: "isolation: 'database', " }

/** One of the 40 test files. */
export function testOf(project, nth) {
  const bodies = {
    ours: `import { container } from '@mayfly/vitest-plugin/test'
const db = container('db')
${tests('[db.host, db.port(5432), undefined, { database: db.database }]')}`,
    floor: tests('[process.env.FLOOR_HOST, Number(process.env.FLOOR_PORT)]'),
    shared: `const [host, port] = [process.env.SHARED_HOST, Number(process.env.SHARED_PORT)]
beforeAll(() => firstQuery(host, port, undefined, { sql: 'CREATE DATABASE f${nth} TEMPLATE migrated', database: 'template1' }), 60_000)
afterAll(() => firstQuery(host, port, undefined, { sql: 'DROP DATABASE f${nth} WITH (FORCE)', database: 'template1' }))
${tests(`[host, port, undefined, { database: 'f${nth}' }]`)}`,
    each: `${rival}let db
beforeAll(async () => { db = await start() }, 120_000)
afterAll(() => db.stop())
${tests('[db.getHost(), db.getMappedPort(5432)]')}`,
  }
  return `${imports}${bodies[project in OURS ? 'ours' : project]}`
}

/** The files beside them. */
export function configOf(project) {
  const isOurs = project in OURS
  const own = isOurs ? ['import { mayfly } from \'@mayfly/vitest-plugin\'\n', 'plugins: [mayfly()], ', ''] : ['', '', project === 'shared' ? 'globalSetup: \'./shared.js\', ' : '']
  return {
    'vitest.config.js': `${own[0]}export default { ${own[1]}test: { ${own[2]}maxWorkers: 2, testTimeout: 60_000 } }\n`,
    ...(isOurs ? { 'mayfly.config.js': `import { defineConfig, postgres } from '@mayfly/core'
import { MIGRATION } from ${postgres}

const prepare = async (db) => {
  const { exitCode, stderr } = await db.exec(['psql', '-q', '-U', 'postgres', '-v', 'ON_ERROR_STOP=1'], { input: MIGRATION })
  if (exitCode !== 0) throw new Error(stderr)
}
export default defineConfig({ services: { db: postgres({ ${OURS[project]}env: { POSTGRES_HOST_AUTH_METHOD: 'trust' }, prepare }) } })
` } : {}),
    ...(project === 'shared' ? { 'shared.js': `${imports.split('\n').slice(0, 2).join('\n')}
${rival}export default async function setup() {
  const db = await start()
  process.env.SHARED_HOST = db.getHost()
  process.env.SHARED_PORT = String(db.getMappedPort(5432))
  await firstQuery(db.getHost(), db.getMappedPort(5432), undefined, { sql: 'CREATE DATABASE migrated TEMPLATE postgres', database: 'template1' })
  return () => db.stop()
}
` } : {}),
  }
}

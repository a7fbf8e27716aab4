import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { compete, percentiles } from './measure.mjs'
import { firstQuery, MIGRATION } from './postgres.mjs'
import { executed } from './once.mjs'
import { fromThePool } from './suite/ahead.mjs'

const ROUNDS = 20
const DATA = 'var/lib/postgresql/data'

/** A migrated PostgreSQL: a copy of it from nothing to its first answer. Further cases: one that was started ahead, and the lease of it alone. */
export async function postgresClone(setting) {
  const { run, wait } = setting.core
  const environment = { POSTGRES_HOST_AUTH_METHOD: 'trust' }
  const first = await run('postgres:17', {
    scratch: 'disk', env: environment, ready: wait.all(wait.log(/ready to accept connections/, { times: 2 }), wait.port(5432)),
  })
  const migrated = await first.exec(['psql', '-q', '-U', 'postgres', '-v', 'ON_ERROR_STOP=1'], { input: MIGRATION })
  if (migrated.exitCode !== 0) throw new Error(migrated.stderr)
  const snapshot = await first.snapshot({ clear: [`${DATA}/postmaster.pid`] })
  // As the preset starts copies, and the floor its server: without the image's entrypoint, which has nothing left to do.
  const server = { entrypoint: [], command: ['postgres'], user: 'postgres' }
  const mayfly = async () => {
    const began = performance.now()
    const clone = await snapshot.run({ ...server, ready: executed })
    await firstQuery(clone.host, clone.port(5432))
    const took = performance.now() - began
    await clone.stop({ timeout: 0 })
    return took
  }
  // The very same program and data, without a container around it (so without a /dev/shm of its own); its data is copied
  // before the clock starts.
  const root = await setting.rootfs('postgres:17')
  const source = join(process.env.MAYFLY_HOME ?? defaultHome(), 'snapshots', snapshot.key, 'tree', DATA)
  const floor = async () => {
    const port = await freePort()
    const data = join(root, DATA)
    rmSync(data, { recursive: true, force: true })
    mkdirSync(join(root, 'var/run/postgresql'), { recursive: true })
    execFileSync('cp', ['-a', source, data])
    execFileSync('chown', ['999:999', join(root, 'var/run/postgresql')])
    const began = performance.now()
    const child = spawn('chroot', ['--userspec=999:999', root, '/usr/lib/postgresql/17/bin/postgres', '-D', `/${DATA}`, '-p', String(port), '-c', 'dynamic_shared_memory_type=mmap'], { stdio: 'ignore', env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'en_US.utf8' } })
    const ended = new Promise((resolve, reject) => { child.once('close', resolve); child.once('error', reject) })
    try {
      await Promise.race([firstQuery('127.0.0.1', port), ended.then(() => { throw new Error('postgres ended') })])
      return performance.now() - began
    } finally {
      child.kill('SIGQUIT')
      await ended
    }
  }
  const { name, absent, library } = setting.testcontainers
  const image = absent ?? await setting.docker.image('postgres:17')
  const docker = async () => {
    const began = performance.now()
    const container = await new library.GenericContainer(image).withEnvironment(environment).withExposedPorts(5432)
      .withWaitStrategy(library.Wait.forLogMessage(/ready to accept connections/, 2)).start()
    await container.copyContentToContainer([{ content: MIGRATION, target: '/tmp/m.sql' }])
    await container.exec(['psql', '-q', '-U', 'postgres', '-f', '/tmp/m.sql'])
    await firstQuery(container.getHost(), container.getMappedPort(5432))
    const took = performance.now() - began
    await container.stop()
    return took
  }
  const cold = await compete([{ name: 'mayfly', once: mayfly }, { name: 'floor', once: floor }, { name: `${name}, migrated anew`, absent, once: docker }], { rounds: ROUNDS, pause: 50 })
  const leases = []
  const pool = await fromThePool(join(setting.scratch, 'project'), join(dirname(dirname(fileURLToPath(import.meta.url))), 'node_modules'), leases)
  // The first two leases find none that waits. While the next one is started nobody asks.
  const warm = await compete([{ name: 'mayfly', once: pool.once }], { rounds: ROUNDS, warmUps: 3, pause: 250 })
  await pool.close()
  await snapshot.remove()
  return { name: 'postgres-clone', unit: 'ms', ...cold, series: [
    { case: 'from a lease to the first answer of one that was started ahead', ...warm },
    { case: 'that lease alone', ...warm, mayfly: percentiles(leases.slice(-ROUNDS)) },
  ] }
}

function defaultHome() {
  return join(process.env.XDG_CACHE_HOME || join(process.env.HOME ?? '', '.cache'), 'mayfly')
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })
}

import { spawn } from 'node:child_process'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { percentiles } from './measure.mjs'
import { leaseLatency } from './suite/latency.mjs'
import { configOf, testOf } from './suite/project.mjs'
import { MIGRATION } from './postgres.mjs'

const FILES = 40
const ROUNDS = Number(process.env.MAYFLY_BENCH_ROUNDS ?? 3)
const root = dirname(dirname(fileURLToPath(import.meta.url)))

/**
 * A test suite of 40 files with 4 tests each, 2 workers, and a migrated PostgreSQL for every file: Vitest's whole time. The
 * floor is the same suite on one server that was there before. Further cases: what is beyond the floor, also with a server for
 * each worker that is brought back between files, and with a database of one server for each file; a run that must prepare
 * first; a lease while the main process is busy.
 */
export async function suite(setting) {
  const { run, wait } = setting.core
  const environment = { POSTGRES_HOST_AUTH_METHOD: 'trust' }
  const ready = wait.all(wait.log(/ready to accept connections/, { times: 2 }), wait.port(5432))
  const server = await run('postgres:17', { env: environment, ready })
  const migrated = await server.exec(['psql', '-q', '-U', 'postgres', '-v', 'ON_ERROR_STOP=1'], { input: MIGRATION })
  if (migrated.exitCode !== 0) throw new Error(migrated.stderr)
  const { absent } = setting.testcontainers
  const rival = absent === undefined ? {
    IMAGE: await setting.docker.image('postgres:17'),
    TESTCONTAINERS: createRequire(import.meta.url).resolve('testcontainers'),
    TESTCONTAINERS_RYUK_DISABLED: 'true',
  } : {}
  const contestants = [
    { name: 'mayfly', project: 'mayfly' },
    { name: 'mayfly, a server for each worker, brought back between files', project: 'worker' },
    { name: 'mayfly, one server, a database for each file', project: 'databases' },
    { name: 'floor', project: 'floor', variables: { FLOOR_HOST: server.host, FLOOR_PORT: String(server.port(5432)) } },
    { name: 'docker+testcontainers, one shared, a template for each file', project: 'shared', absent, variables: rival },
    // One run of it takes minutes.
    { name: 'docker+testcontainers, one for each file', project: 'each', absent, variables: rival, rounds: 1 },
  ]
  for (const { project } of contestants) makeProject(setting.scratch, project)
  // The store may have its state from an earlier time.
  const first = await wholeRun(setting.scratch, { ...contestants[0], variables: { MAYFLY_REBUILD_SNAPSHOTS: '1' } })
  // The rivals' images are there, too, and so are the files of Vitest's cache.
  for (const one of contestants.slice(1, 5)) if (one.absent === undefined) await wholeRun(setting.scratch, one)
  const times = new Map(contestants.map((one) => [one, []]))
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const one of contestants) {
      if (one.absent !== undefined || round >= (one.rounds ?? ROUNDS)) continue
      times.get(one).push(await wholeRun(setting.scratch, one))
    }
  }
  const figures = (one) => one.absent === undefined ? percentiles(times.get(one)) : { absent: one.absent }
  const [mayfly, worker, databases, floor, ...rivals] = contestants
  const beyond = (one) => one.absent === undefined ? percentiles(times.get(one).map((took, round) => took - times.get(floor)[round])) : { absent: one.absent }
  await server.stop({ timeout: 0 })
  return {
    name: 'suite', unit: 'ms',
    ...compared(figures(mayfly), figures(floor), [worker, databases, ...rivals].map((one) => [one.name, figures(one)])),
    series: [
      ...[['', mayfly], [', a server for each worker, brought back between files', worker], [', one server, a database for each file', databases]].map(([how, one]) => ({
        case: `beyond the tests' own time${how}`, ...compared(beyond(one), { absent: 'is what is subtracted' }, rivals.map((rival) => [rival.name, beyond(rival)])),
      })),
      { case: 'the first run, which prepares', ...compared(percentiles([first]), { absent: 'prepares nothing' }, []) },
      { case: 'a lease while the main process is busy', ...compared(percentiles(await leaseLatency(join(setting.scratch, 'mayfly'))), { absent: 'has no floor' }, []) },
    ],
  }
}

function compared(mayfly, floor, rivals) {
  const ratio = {}
  for (const [name, one] of [['floor', floor], ...rivals]) if (one.absent === undefined) ratio[name] = Number((one.p50 / mayfly.p50).toPrecision(4))
  return { mayfly, floor, rivals: Object.fromEntries(rivals), ratio }
}

function makeProject(scratch, project) {
  const directory = join(scratch, project)
  mkdirSync(directory)
  symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'))
  writeFileSync(join(directory, 'package.json'), '{ "type": "module" }')
  for (const [name, text] of Object.entries(configOf(project))) writeFileSync(join(directory, name), text)
  for (let nth = 1; nth <= FILES; nth += 1) writeFileSync(join(directory, `${nth}.test.js`), testOf(project, nth))
}

/** Milliseconds from the command to its end. */
async function wholeRun(scratch, { project, variables = {} }) {
  const began = performance.now()
  const child = spawn(process.execPath, [join(root, 'node_modules/vitest/vitest.mjs'), 'run', '--reporter=dot'], {
    cwd: join(scratch, project), env: { ...process.env, ...variables, NO_COLOR: '1' }, stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => { output += text })
  const code = await new Promise((resolve, reject) => child.once('error', reject).once('close', resolve))
  if (code !== 0 || !output.includes(`${FILES * 4} passed`)) throw new Error(`${project}: the suite ended with ${code}\n${output.slice(-2000)}`)
  return performance.now() - began
}

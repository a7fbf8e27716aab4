import { execFile, execFileSync } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { openStore, parseReference, pullImage } from '../../packages/core/src/engine.js'
import { compileExec, compileFoundation, compileSandbox, namespacesOf } from '../../packages/core/src/sandbox/index.js'
import type { ImageConfig } from '../../packages/core/src/images/index.js'
import { startRegistry } from '../images/registry.mjs'

const root = fileURLToPath(new URL('../..', import.meta.url))

export type Scenario = 'slot' | 'fresh' | 'worker'

export interface Failure {
  readonly scenario: Scenario
  readonly role?: string
  readonly index?: number
  readonly victim?: string
  readonly trouble: string
}

export interface Outcome {
  /** Injections whose step was reached, and those whose step did not happen that time. */
  readonly reached: number
  readonly missed: number
  readonly counts: Readonly<Record<string, Readonly<Record<string, number>>>>
  readonly failures: readonly Failure[]
}

export interface Request {
  readonly scenarios: readonly Scenario[]
  /** Who is killed; `owner+janitor`: both at once. */
  readonly victims: readonly string[]
  /** Only every so manieth step. Default all. */
  readonly every?: number
}

const identity = { uid: 0, gid: 0, groups: [0], home: '/' }
/** It heeds SIGTERM, and leaves something in its upper directory once it does. */
const program = ['sh', '-c', 'trap "exit 0" TERM; echo x > /file; while :; do sleep 600 & wait; done']
/** Until then nobody may ask it to stop: the kernel spares the first process of a pid namespace signals that it has no handler for. */
const meanwhile = ['sh', '-c', 'until [ -e /file ]; do :; done']

/** Kills at every step, on two processors, in namespaces of its own. */
export async function killEverywhere({ scenarios, victims, every = 1 }: Request, shards = 2): Promise<Outcome> {
  execFileSync(process.execPath, [join(root, 'packages/native/build.mjs'), '--inject'], { stdio: 'inherit' })
  const scratch = mkdtempSync(join(tmpdir(), 'mayfly-test-kill-'))
  try {
    const base = { ...await lists(scratch), native: join(root, 'packages/native/build/mayfly-native-inject'), scratch, scenarios, victims, every, shards }
    const outcomes = await Promise.all(Array.from({ length: shards }, (_, shard) => harness(scratch, { ...base, shard })))
    return outcomes.reduce((sum, one) => ({
      reached: sum.reached + one.reached, missed: sum.missed + one.missed,
      counts: { ...sum.counts, ...one.counts }, failures: [...sum.failures, ...one.failures],
    }))
  } finally {
    rmSync(scratch, { recursive: true, force: true, maxRetries: 10 })
  }
}

/** The operation lists that the library would send, for a copy of the image's files in `scratch`. */
async function lists(scratch: string): Promise<Readonly<Record<string, unknown>>> {
  const lowers = await unpacked(scratch)
  const config: ImageConfig = { Env: ['PATH=/bin'], Entrypoint: [], Cmd: [], ExposedPorts: [], Volumes: [], User: '', WorkingDir: '', Labels: {} }
  // As long as the place of any run's scratch directory: `runs/ID/scratch/c` in a home of six random characters.
  const mark = join(scratch, 'home-......', 'runs', '............', 'scratch', 'c')
  const sandbox = (upper: string, work: string): string => compileSandbox({
    config, options: { command: program }, identity, hostname: 'host', rootfs: { driver: 'overlay', lowers, tmpfsSize: 0, upper, work, userxattr: false }, features: new Map(), hosts: '', resolvConf: '',
  }).toString('base64')
  return {
    namespaces: namespacesOf({}).create,
    foundation: Buffer.from(compileFoundation({ network: undefined, options: {}, features: new Map() }).part()).toString('base64'),
    rest: sandbox('', ''),
    onDisk: sandbox(join(mark, 'upper'), join(mark, 'work')),
    mark,
    exec: compileExec({ container: '', argv: meanwhile, env: ['PATH=/bin'], cwd: '/', identity, options: {} }).toString('base64'),
  }
}

async function unpacked(scratch: string): Promise<readonly string[]> {
  const registry = await startRegistry()
  const before = { ...process.env }
  Object.assign(process.env, { MAYFLY_REGISTRY_MIRROR: registry.mirror, MAYFLY_HOME: join(scratch, 'store') })
  try {
    const { layers } = await pullImage(await openStore(), parseReference('busybox'))
    return layers.map((layer, at) => {
      cpSync(layer, join(scratch, `layer-${at}`), { recursive: true, verbatimSymlinks: true })
      return join(scratch, `layer-${at}`)
    })
  } finally {
    for (const name of ['MAYFLY_REGISTRY_MIRROR', 'MAYFLY_HOME']) {
      if (before[name] === undefined) delete process.env[name]
      else process.env[name] = before[name]
    }
    await registry.close()
  }
}

/** A shell as the first process: it reaps what the killed leave to it. */
function harness(scratch: string, plan: Readonly<Record<string, unknown>>): Promise<Outcome> {
  const file = join(scratch, `plan-${String(plan['shard'])}.json`)
  writeFileSync(file, JSON.stringify(plan))
  const words = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc', 'sh', '-c', '"$@"; exit $?', 'sh', process.execPath, join(root, 'test/kill/harness.mjs'), file]
  return new Promise((resolve, reject) => {
    execFile('unshare', words, { maxBuffer: 1 << 24 }, (error, stdout, stderr) => {
      if (error !== null) reject(new Error(`the harness ended badly: ${error.message}\n${stderr}`))
      else resolve(JSON.parse(stdout) as Outcome)
    })
  })
}

// Whoever dies, nothing stays: as root and as an ordinary user, whose containers' files belong to other ids.
import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { run } from '@mayfly/core'
import { endRun } from '@mayfly/core/engine'
import { expect, test } from 'vitest'
import { until, useBench } from './bench.js'

const bench = useBench()

const holder = `
  import { run, wait } from '@mayfly/core'
  await run('busybox', {
    scratch: 'disk', ready: wait.log('ready'),
    command: 'mkdir -p /a/b && touch /a/b/c && chown -R 5:5 /a && chmod 0 /a/b /a && echo ready && exec sleep 1000',
  })
  console.log('holding')
  setInterval(() => undefined, 1000)
`

interface Held {
  readonly owner: ChildProcess
  readonly janitor: number
  readonly supervisor: number
  readonly dir: string
  alive(): readonly string[]
}

async function hold(): Promise<Held> {
  const before = runs()
  const owner = spawn(process.execPath, ['--input-type=module', '-e', holder], { stdio: ['ignore', 'pipe', 'inherit'] })
  await new Promise<void>((resolve, reject) => {
    owner.stdout.once('data', () => { resolve() })
    owner.once('exit', (code) => { reject(new Error(`The owner ended with ${code}`)) })
  })
  const [janitor = 0] = childrenOf(owner.pid ?? 0)
  const [supervisor = 0] = childrenOf(janitor)
  const tree = [janitor, supervisor, ...childrenOf(supervisor).flatMap((pid) => [pid, ...childrenOf(pid)])].map((pid) => `${pid} ${startOf(pid)}`)
  const name = runs().find((one) => !before.includes(one)) ?? ''
  return {
    owner, janitor, supervisor, dir: join(bench.home, 'home/runs', name),
    alive: () => tree.filter((one) => one === `${one.split(' ')[0]} ${startOf(Number(one.split(' ')[0]))}`),
  }
}

test.each(['owner', 'supervisor'] as const)('after SIGKILL of the %s nothing is left', async (victim) => {
  await endRun()
  const held = await hold()
  expect(held.alive().length).toBeGreaterThanOrEqual(3)
  expect(readdirSync(join(held.dir, 'scratch')).length).toBe(1)
  if (victim === 'owner') held.owner.kill('SIGKILL')
  else process.kill(held.supervisor, 'SIGKILL')
  await until(() => held.alive().length === 0 && !existsSync(held.dir))
  held.owner.kill('SIGKILL')
})

test('what a killed janitor leaves, the next run takes away', async () => {
  await endRun()
  const held = await hold()
  process.kill(held.janitor, 'SIGKILL')
  held.owner.kill('SIGKILL')
  await until(() => held.alive().length === 0)
  expect(existsSync(held.dir)).toBe(true)
  await using next = await run('busybox', { command: ['sleep', '1000'] })
  await until(() => !existsSync(held.dir))
  // Renamed first, deleted second.
  await until(() => readdirSync(join(bench.home, 'home/trash')).length === 0)
  expect((await next.exec(['true'])).exitCode).toBe(0)
})

test('whoever asks a killed janitor is told at once, though a child of its own is still at work', async () => {
  // What a first run loads is there by now: nothing keeps this process from looking.
  await (await run('busybox', { command: ['true'] })).stop()
  await endRun()
  // A dead run of so many files that the child which deletes them is met alive.
  const dead = join(bench.home, 'home/runs', 'dead')
  for (let at = 0; at < 40; at += 1) {
    mkdirSync(join(dead, String(at)), { recursive: true })
    for (let file = 0; file < 50; file += 1) writeFileSync(join(dead, String(at), String(file)), '')
  }
  writeFileSync(join(dead, 'lock'), '')
  const before = runs()
  const first = run('busybox', { command: ['sleep', '1000'] })
  let [janitor, child] = [0, 0]
  const trash = join(bench.home, 'home/trash')
  const deleting = (): boolean => existsSync(trash) && readdirSync(trash).length > 0
  while (child === 0 && (existsSync(dead) || deleting())) {
    const own = runs().find((one) => !before.includes(one))
    janitor = own === undefined ? 0 : childrenOf(process.pid).find((pid) => read(`/proc/${pid}/cmdline`).includes(own)) ?? 0
    // Not the supervisor, which is the first process of a pid namespace.
    if (deleting()) child = childrenOf(janitor).find((pid) => /^NSpid:\t\d+$/m.test(read(`/proc/${pid}/status`))) ?? 0
    await new Promise(setImmediate)
  }
  expect(child).toBeGreaterThan(0)
  process.kill(child, 'SIGSTOP')
  const family = childrenOf(janitor)
  try {
    await first
    process.kill(janitor, 'SIGKILL')
    await expect(run('busybox', { command: ['sleep', '1000'], ports: [80], loopback: true, startTimeout: 20_000 })).rejects.toMatchObject({ details: { operation: 'port.open', errno: 'EPIPE' } })
  } finally {
    process.kill(child, 'SIGCONT')
    await endRun()
  }
  // What the killed one left is the next run's to take away, once nobody holds its lock.
  await until(() => family.every((pid) => startOf(pid) === 'gone'))
  await using _ = await run('busybox', { command: ['sleep', '1000'] })
  await until(() => runs().length === 1 && !deleting())
})

function runs(): string[] {
  const directory = join(bench.home, 'home/runs')
  return existsSync(directory) ? readdirSync(directory) : []
}

function childrenOf(pid: number): number[] {
  return read(`/proc/${pid}/task/${pid}/children`).trim().split(' ').filter((text) => text !== '').map(Number)
}

/** Absent for the dead, reaped or not. */
function startOf(pid: number): string {
  const stat = read(`/proc/${pid}/stat`)
  const rest = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return rest[0] === 'Z' || stat === '' ? 'gone' : rest[19] ?? ''
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

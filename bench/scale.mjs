import { execFileSync } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import { percentiles } from './measure.mjs'
import { executed } from './once.mjs'

const WIDTH = 500
const CYCLES = Number(process.env.MAYFLY_BENCH_CYCLES ?? 1000)

/**
 * 500 containers of busybox alive at once, started one after another: each start's time, and what the run's own processes
 * take of memory; further case: cycles of start and removal, before and after which memory, descriptors, cgroups and
 * namespaces are counted. MAYFLY_BENCH_CYCLES: how many, default 1000.
 */
export async function scale(setting) {
  const { run } = setting.core
  const start = () => run('busybox', { command: ['sleep', '600'], ready: executed })
  const timed = async () => {
    const began = performance.now()
    const container = await start()
    return { container, took: performance.now() - began }
  }
  for (let warm = 0; warm < 5; warm += 1) await (await start())[Symbol.asyncDispose]()
  const alive = []
  for (let at = 0; at < WIDTH; at += 1) alive.push(await timed())
  const memory = ours().reduce((sum, { rss }) => sum + rss, 0)
  const began = performance.now()
  await Promise.all(alive.map(({ container }) => container[Symbol.asyncDispose]()))
  const removal = performance.now() - began
  const before = count()
  const cycles = []
  for (let at = 0; at < CYCLES; at += 1) {
    const { container, took } = await timed()
    cycles.push(took)
    await container[Symbol.asyncDispose]()
  }
  const after = count()
  const growth = Object.fromEntries(Object.keys(before).map((name) => [name, after[name] - before[name]]))
  process.stderr.write(`${WIDTH} alive: supervisor and janitor ${(memory / 1024).toFixed(1)} MiB; removed at once in ${removal.toFixed(0)} ms\n`)
  process.stderr.write(`${CYCLES} cycles: growth ${JSON.stringify(growth)}\n`)
  const absent = { absent: 'nothing to compare with' }
  return {
    name: 'scale', unit: 'ms', mayfly: percentiles(alive.map(({ took }) => took)), floor: absent, rivals: {}, ratio: {},
    memoryMiB: Number((memory / 1024).toFixed(1)), removalMs: Math.round(removal), growth,
    series: [{ case: `${CYCLES} cycles`, mayfly: percentiles(cycles), floor: absent, rivals: {}, ratio: {} }],
  }
}

/** The run's own processes, with their resident KiB. */
function ours() {
  const parents = new Map(processes().map(({ pid, parent }) => [pid, parent]))
  return processes().filter(({ name, pid }) => name.startsWith('mayfly') && (parents.get(pid) === process.pid || parents.get(parents.get(pid)) === process.pid))
}

function processes() {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).flatMap((name) => {
    try {
      const status = readFileSync(`/proc/${name}/status`, 'utf8')
      const field = (key) => new RegExp(`^${key}:\\s+(\\S+)`, 'm').exec(status)?.[1] ?? ''
      return [{ pid: Number(name), parent: Number(field('PPid')), name: field('Name'), rss: Number(field('VmRSS')) }]
    } catch {
      return []
    }
  })
}

function count() {
  const all = ours()
  return {
    memoryKiB: all.reduce((sum, { rss }) => sum + rss, 0),
    descriptors: all.reduce((sum, { pid }) => sum + readdirSync(`/proc/${pid}/fd`).length, 0),
    cgroups: Number(execFileSync('sh', ['-c', 'find /sys/fs/cgroup -path "*mayfly-*" -type d | wc -l'], { encoding: 'utf8' })),
    namespaces: Number(execFileSync('sh', ['-c', 'lsns -n -t net 2>/dev/null | wc -l'], { encoding: 'utf8' })),
  }
}

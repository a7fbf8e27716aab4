import { execFile, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { startRegistry } from '../test/images/registry.mjs'
import { startDaemon } from './docker.mjs'
import { compete, percentiles } from './measure.mjs'
import { installed } from './processes.mjs'
import { onFreshFilesystem } from './pull/filesystem.mjs'
import { floorOf, layersOf } from './pull/floor.mjs'
import { IMAGES, pullStorage } from './pull/images.mjs'
import { memoryOf, peakDuring } from './pull/memory.mjs'

const execute = promisify(execFile)
const main = fileURLToPath(new URL('../packages/cli/dist/main.js', import.meta.url))
const puller = fileURLToPath(new URL('./pull/puller.mjs', import.meta.url))
const EIGHT = 8
const ROUNDS = Number(process.env.MAYFLY_BENCH_ROUNDS ?? 5)
/** A pull needs no network of Docker's, and the machine's stays as it is. */
const QUIET = ['--bridge', 'none', '--iptables=false', '--ip6tables=false']

/**
 * Whole commands that pull an image of 260 MB in three layers from the real registry on loopback, each on a fresh file system;
 * further cases: the same files in twelve layers, memory, the same tag once more, and eight processes at once.
 * MAYFLY_BENCH_ROUNDS: how often, default 5.
 */
export async function pull() {
  if (process.geteuid() !== 0) throw new Error('only root can give each contestant a fresh file system')
  const storage = await pullStorage()
  const registry = await startRegistry({ storage, writable: false })
  const scratch = mkdtempSync(join(tmpdir(), 'mf-bench-'))
  try {
    const setting = { registry, storage, scratch }
    const three = await pulls(setting, IMAGES.three, { rounds: ROUNDS, warmUps: 1 })
    const twelve = await pulls(setting, IMAGES.twelve, { rounds: ROUNDS, warmUps: 1 })
    const series = [
      { case: 'the same files in twelve layers', ...twelve },
      { case: 'memory above idle at its peak (MB)', ...await memory(setting) },
      ...await again(setting),
      await eightAtOnce(setting),
    ]
    return { name: 'pull', unit: 'ms', ...three, series }
  } finally {
    await registry.close()
    rmSync(scratch, { recursive: true, force: true })
  }
}

async function pulls(setting, image, options) {
  const { registry, storage, scratch } = setting
  const tars = mkdtempSync(join(scratch, 'tars-'))
  const layers = await layersOf(registry, storage, image, tars)
  const parts = []
  const floor = async () => {
    const part = await floorOf(layers, scratch)
    parts.push(part)
    return Math.max(...Object.values(part))
  }
  const rivals = ways(setting).map(({ name, absent, open }) => ({ name, absent, once: () => onFreshFilesystem(scratch, async (directory) => {
    const way = await open(directory)
    return await way.pull(image).finally(() => way.close?.())
  }) }))
  const result = await compete([...rivals, { name: 'floor', once: floor }], options)
  rmSync(tars, { recursive: true })
  const median = (name) => Math.round(percentiles(parts.slice(options.warmUps).map((one) => one[name])).p50)
  return { ...result, floorParts: Object.fromEntries(Object.keys(parts[0]).map((name) => [name, median(name)])) }
}

/** How each contestant pulls into a directory. */
function ways({ registry }) {
  const whole = async (file, words, { env = {}, started }) => {
    const began = performance.now()
    const running = execute(file, words, { env: { ...process.env, ...env } })
    started?.(running.child.pid)
    await running
    return performance.now() - began
  }
  const name = (image) => `${registry.host}/${image}`
  const podman = (directory, image) => ['--root', join(directory, 'root'), '--runroot', join(directory, 'run'), '--storage-driver', 'overlay', 'pull', '-q', '--tls-verify=false', name(image)]
  return [
    {
      name: 'mayfly',
      open: async (directory) => ({ pull: (image, started) => whole(process.execPath, [main, 'pull', '-q', name(image)], { started, env: { MAYFLY_HOME: join(directory, 'mayfly') } }) }),
    },
    {
      name: 'docker', absent: installed('dockerd') ? undefined : 'there is no Docker daemon',
      open: async (directory) => {
        const daemon = await startDaemon({ data: join(directory, 'docker'), words: QUIET })
        if (daemon.absent !== undefined) throw new Error(daemon.absent)
        return { pid: daemon.pid, close: daemon.close, pull: (image, started) => whole('docker', ['pull', '--quiet', name(image)], { started, env: { DOCKER_HOST: daemon.host } }) }
      },
    },
    {
      name: 'podman', absent: installed('podman') ? undefined : 'podman is not installed',
      open: async (directory) => ({ pull: (image, started) => whole('podman', podman(directory, image), { started }) }),
    },
  ]
}

/** MB above an idle Node, an idle daemon, nothing. */
async function memory(setting) {
  const figures = {}
  const idle = await idleNode()
  for (const { name, absent, open } of ways(setting)) {
    figures[name] = absent === undefined ? await onFreshFilesystem(setting.scratch, async (directory) => {
      const way = await open(directory)
      const pids = way.pid === undefined ? [] : [way.pid]
      const before = name === 'mayfly' ? idle : pids.reduce((sum, pid) => sum + memoryOf(pid), 0)
      const peak = await peakDuring(pids, () => way.pull(IMAGES.three, (pid) => pids.push(pid))).finally(() => way.close?.())
      return percentiles([peak - before])
    }) : { absent }
  }
  const { mayfly, ...rivals } = figures
  const ratio = Object.fromEntries(Object.entries(rivals).filter(([, one]) => one.absent === undefined).map(([name, { p50 }]) => [name, Number((p50 / mayfly.p50).toPrecision(4))]))
  return { mayfly, floor: { absent: 'has no floor' }, rivals, ratio }
}

/** What a Node takes that does nothing. */
async function idleNode() {
  const child = spawn(process.execPath, ['-e', 'console.log(1); setInterval(() => 0, 1e6)'], { stdio: ['ignore', 'pipe', 'ignore'] })
  await once(child.stdout, 'data')
  const taken = memoryOf(child.pid)
  child.kill('SIGKILL')
  return taken
}

/** The tag that was pulled just now: one question of the registry. */
async function again({ registry, scratch, ...setting }) {
  const open = []
  const directories = []
  try {
    const contestants = []
    for (const way of ways({ registry, scratch, ...setting })) {
      if (way.absent !== undefined) {
        contestants.push(way)
        continue
      }
      const directory = mkdtempSync(join(scratch, 'again-'))
      directories.push(directory)
      const opened = await way.open(directory)
      open.push(opened)
      await opened.pull(IMAGES.three)
      contestants.push({ name: way.name, once: () => opened.pull(IMAGES.three) })
    }
    const commands = await compete(contestants, { rounds: 10 })
    const process = await running(directories[0])
    const took = await process.pull({ image: `${registry.host}/${IMAGES.three}`, times: 30 })
    process.end()
    const absent = { absent: 'nothing to compare with' }
    return [
      { case: 'the same tag again, whole commands', ...commands },
      { case: 'the same tag again, pullImage() of a running process', mayfly: percentiles(took.slice(2)), floor: absent, rivals: {}, ratio: {} },
    ]
  } finally {
    for (const one of open) await one.close?.()
    for (const one of directories) rmSync(one, { recursive: true, force: true })
  }
}

/** Processes that run already, told to pull at the same moment; the floor is one of them alone. */
async function eightAtOnce({ registry, scratch }) {
  const image = `${registry.host}/${IMAGES.three}`
  const sent = []
  const size = async () => {
    const manifest = await (await fetch(`${registry.url}/v2/${IMAGES.three.replace(':', '/manifests/')}`, { headers: { accept: 'application/vnd.oci.image.manifest.v1+json' } })).json()
    return manifest.layers.reduce((sum, layer) => sum + layer.size, manifest.config.size)
  }
  const bytes = await size()
  const many = (count) => () => onFreshFilesystem(scratch, async (directory) => {
    const processes = await Promise.all(Array.from({ length: count }, () => running(directory)))
    const before = written(registry.pid)
    const began = performance.now()
    await Promise.all(processes.map((one) => one.pull({ image })))
    const took = performance.now() - began
    if (count === EIGHT) sent.push((written(registry.pid) - before) / bytes)
    for (const one of processes) one.end()
    return took
  })
  const result = await compete([{ name: 'mayfly', once: many(EIGHT) }, { name: 'floor', once: many(1) }], { rounds: ROUNDS, warmUps: 1 })
  return { case: `${String(EIGHT)} running processes at once, the floor being one`, ...result, timesDownloaded: Number(percentiles(sent).p50.toPrecision(3)) }
}

async function running(directory) {
  const child = fork(puller, { env: { ...process.env, MAYFLY_HOME: join(directory, 'mayfly') } })
  await once(child, 'message')
  return {
    pull: async (order) => {
      child.send(order)
      const [{ took }] = await once(child, 'message')
      return took
    },
    end: () => child.kill('SIGKILL'),
  }
}

/** Bytes that a process has written, to sockets as well. */
function written(pid) {
  return Number(/^wchar: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))?.[1])
}

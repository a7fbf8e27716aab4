import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { compete } from './measure.mjs'
import { installed, wholeRun } from './processes.mjs'
import { executed } from './once.mjs'

const call = promisify(execFile)

/** `exec(['true'])` in a running container, to its answer. The floor is the bare `true`, spawned and waited for; the rivals are their commands. */
export async function exec(setting) {
  const { run } = setting.core
  const sleeper = { command: ['sleep', '600'], ready: executed }
  const container = await run('busybox', sleeper)
  const timed = async (work) => {
    const began = performance.now()
    await work()
    return performance.now() - began
  }
  const mayfly = (words, options) => async () => timed(async () => {
    const { exitCode } = await container.exec(words, options)
    if (exitCode !== 0) throw new Error(`exec ended with ${exitCode}`)
  })
  const floor = () => timed(() => wholeRun('true', []))
  const rivals = await Promise.all(['docker', 'podman'].map((name) => commandRival(setting, name)))
  const headline = await compete([{ name: 'mayfly', once: mayfly(['true']) }, { name: 'floor', once: floor }, ...rivals], { rounds: 60, pause: 20, warmUps: 3 })
  const straight = await compete([{ name: 'mayfly', once: mayfly(['true']) }, { name: 'floor', once: floor }], { rounds: 100, warmUps: 5 })
  const copied = await compete([
    { name: 'mayfly', once: () => timed(() => container.copyIn({ content: Buffer.alloc(1 << 20) }, '/copied')) },
    { name: 'floor', once: () => timed(() => wholeRun('dd', ['if=/dev/zero', `of=${setting.scratch}/copied`, 'bs=1M', 'count=1'])) },
  ], { rounds: 40, pause: 20, warmUps: 2 })
  await container[Symbol.asyncDispose]()
  for (const { end } of rivals) await end?.()
  return { name: 'exec', unit: 'ms', ...headline, series: [{ case: 'back to back', ...straight }, { case: 'a file of 1 MiB copied in', ...copied }] }
}

async function commandRival(setting, name) {
  if (name === 'docker' && setting.docker.absent !== undefined) return { name, absent: setting.docker.absent }
  if (name === 'podman' && !installed('podman')) return { name, absent: 'podman is not installed' }
  const words = name === 'docker' ? ['run', '-d', await setting.docker.image('busybox'), 'sleep', '600']
    : ['run', '-d', '--runtime', 'runc', '--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024', '--rootfs', await setting.rootfs('busybox'), 'sleep', '600']
  const id = (await call(name, words)).stdout.trim()
  return {
    name,
    end: () => call(name, ['rm', '-f', id]),
    once: async () => {
      const began = performance.now()
      await call(name, ['exec', id, 'true'])
      return performance.now() - began
    },
  }
}

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { compete } from './measure.mjs'
import { executed } from './once.mjs'

/** A program that heeds SIGTERM at once, and says when it is ready to. */
const heeding = ['busybox', 'sh', '-c', 'trap "exit 0" TERM; echo ready; while :; do busybox sleep 1000 & wait $!; done']

/** `stop()` of a program that heeds SIGTERM, to its return; further case: disposal, which kills. The floor is the same program bare. */
export async function stop(setting) {
  const { run } = setting.core
  const root = await setting.rootfs('busybox')
  const started = async () => {
    const container = await run('busybox', { command: heeding, ready: executed })
    for await (const { text } of container.logs({ follow: true })) if (text === 'ready') break
    return container
  }
  const bare = async () => {
    const child = spawn(join(root, 'bin/busybox'), heeding.slice(1), { stdio: ['ignore', 'pipe', 'ignore'], env: { PATH: join(root, 'bin') } })
    await once(child.stdout, 'data')
    return child
  }
  const timed = async (work) => {
    const began = performance.now()
    await work()
    return performance.now() - began
  }
  const end = async (child, signal) => {
    child.kill(signal)
    await once(child, 'exit')
  }
  const heeded = await compete([
    { name: 'mayfly', once: async () => { const one = await started(); return timed(() => one.stop()) } },
    { name: 'floor', once: async () => { const child = await bare(); return timed(() => end(child, 'SIGTERM')) } },
    await docker(setting, 'stop'),
  ], { rounds: 40, pause: 20 })
  const killed = await compete([
    { name: 'mayfly', once: async () => { const one = await started(); return timed(() => one[Symbol.asyncDispose]()) } },
    { name: 'floor', once: async () => { const child = await bare(); return timed(() => end(child, 'SIGKILL')) } },
    await docker(setting, 'kill'),
  ], { rounds: 40, pause: 20 })
  return { name: 'stop', unit: 'ms', ...heeded, series: [{ case: 'kill', ...killed }] }
}

async function docker(setting, word) {
  const { docker: one } = setting
  if (one.absent !== undefined) return { name: 'docker', absent: one.absent }
  const image = await one.image('busybox')
  const { execFile } = await import('node:child_process')
  const { promisify } = await import('node:util')
  const call = promisify(execFile)
  return {
    name: 'docker',
    once: async () => {
      const { stdout } = await call('docker', ['run', '-d', image, ...heeding])
      const began = performance.now()
      await call('docker', [word, stdout.trim()])
      const took = performance.now() - began
      await call('docker', ['rm', '-f', stdout.trim()])
      return took
    },
  }
}

import { spawn } from 'node:child_process'
import { compete } from './measure.mjs'
import { firstByte } from './processes.mjs'
import { asOrdinaryUser } from './rootless.mjs'
import { executed, startOnce } from './once.mjs'
import { commandRivals } from './setting.mjs'

/** `run()` of a cached image to the program's exec. Mayfly's `run()` resolves once the exec is known to have happened. */
export async function start(setting) {
  const { run } = setting.core
  const mayfly = () => startOnce(run)
  const firstOutput = async () => {
    const began = performance.now()
    const container = await run('busybox', { command: ['echo', 'x'], ready: executed })
    let took
    for await (const line of container.logs({ follow: true })) took ??= line && performance.now() - began
    await container[Symbol.asyncDispose]()
    if (took === undefined) throw new Error('the container printed nothing')
    return took
  }
  const floor = () => new Promise((resolve, reject) => {
    const began = performance.now()
    const child = spawn('sleep', ['60'], { stdio: 'ignore' })
    child.once('error', reject)
    child.once('spawn', () => {
      const took = performance.now() - began
      child.once('close', () => resolve(took))
      child.kill('SIGKILL')
    })
  })
  const rivals = [
    ...(await commandRivals(setting, 'busybox', ['echo', 'x'])).map(({ name, absent, words }) =>
      ({ name, absent, once: absent === undefined ? () => firstByte(...words()) : undefined })),
    await viaTestcontainers(setting),
  ]
  const apart = await compete([{ name: 'mayfly', once: mayfly }, { name: 'floor', once: floor }, ...rivals], { rounds: 40, pause: 100 })
  const straight = await compete([{ name: 'mayfly', once: mayfly }, { name: 'floor', once: floor }], { rounds: 100, warmUps: 5 })
  const output = await compete(
    [{ name: 'mayfly', once: firstOutput }, { name: 'floor', once: () => firstByte('echo', ['x']) }, ...rivals], { rounds: 20, pause: 100 },
  )
  const user = await asOrdinaryUser(setting, USER)
  // Their order in the result: the user's is the one that is compared with root's.
  const ordinary = await compete([{ name: 'mayfly', ...user }, { name: 'floor', once: floor }, { name: 'mayfly as root', once: mayfly }], { rounds: 40, pause: 100 })
  await user.close()
  return {
    name: 'start', unit: 'ms', ...apart,
    series: [{ case: 'back to back', ...straight }, { case: 'as an ordinary user', ...ordinary }, { case: 'to the first byte of output', ...output }],
  }
}

/** What an ordinary user's process does. */
const USER = `
  import { run } from '@mayfly/core'
  import { startOnce } from './bench/once.mjs'
  const once = () => startOnce(run)`

async function viaTestcontainers(setting) {
  const { name, absent, library } = setting.testcontainers
  if (absent !== undefined) return { name, absent }
  const image = await setting.docker.image('busybox')
  return {
    name,
    once: async () => {
      const began = performance.now()
      const container = await new library.GenericContainer(image).withCommand(['sleep', '60']).start()
      const took = performance.now() - began
      await container.stop({ timeout: 0 })
      return took
    },
  }
}

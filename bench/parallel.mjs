import { spawn } from 'node:child_process'
import { compete } from './measure.mjs'
import { firstByte } from './processes.mjs'
import { executed } from './once.mjs'
import { commandRivals } from './setting.mjs'

/** Sixteen containers at once, to the exec of the last; further case: eight. */
export async function parallel(setting) {
  return { name: 'parallel', unit: 'ms', ...await atOnce(setting, 16), series: [{ case: '8', ...await atOnce(setting, 8) }] }
}

async function atOnce(setting, width) {
  const { run } = setting.core
  const all = (once) => Promise.all(Array.from({ length: width }, once))
  const mayfly = async () => {
    const began = performance.now()
    const containers = await all(() => run('busybox', { command: ['sleep', '60'], ready: executed }))
    const took = performance.now() - began
    await Promise.all(containers.map((one) => one[Symbol.asyncDispose]()))
    return took
  }
  const floor = async () => {
    const began = performance.now()
    const children = await all(() => new Promise((resolve, reject) => {
      const child = spawn('sleep', ['60'], { stdio: 'ignore' })
      child.once('error', reject)
      child.once('spawn', () => resolve(child))
    }))
    const took = performance.now() - began
    await Promise.all(children.map((child) => new Promise((resolve) => { child.once('close', resolve); child.kill('SIGKILL') })))
    return took
  }
  const rivals = (await commandRivals(setting, 'busybox', ['echo', 'x'])).map(({ name, absent, words }) => ({
    name,
    absent,
    once: async () => Math.max(...await all(() => firstByte(...words()))),
  }))
  const { name, absent, library } = setting.testcontainers
  const image = absent ?? await setting.docker.image('busybox')
  rivals.push({
    name,
    absent,
    once: async () => {
      const began = performance.now()
      const containers = await all(() => new library.GenericContainer(image).withCommand(['sleep', '60']).start())
      const took = performance.now() - began
      await Promise.all(containers.map((one) => one.stop({ timeout: 0 })))
      return took
    },
  })
  return compete([{ name: 'mayfly', once: mayfly }, { name: 'floor', once: floor }, ...rivals], { rounds: 10 })
}

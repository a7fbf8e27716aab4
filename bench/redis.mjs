import { spawn } from 'node:child_process'
import { createServer } from 'node:net'
import { compete } from './measure.mjs'
import { redisAnswers } from './processes.mjs'
import { executed } from './once.mjs'

/** A Redis server from nothing to its first PONG; further case: stopping it. All are asked in the same way. */
export async function redis(setting) {
  const { run } = setting.core
  const root = await setting.rootfs('redis')
  const stops = { mayfly: [], floor: [], docker: [] }
  const mayfly = async () => {
    const began = performance.now()
    const container = await run('redis', { ready: executed })
    await redisAnswers(container.host, container.port(6379))
    const took = performance.now() - began
    const stopping = performance.now()
    await container.stop()
    stops.mayfly.push(performance.now() - stopping)
    return took
  }
  // The very same program and libraries, without a container around it.
  const floor = async () => {
    const port = await freePort()
    const began = performance.now()
    const child = spawn('chroot', [root, 'redis-server', '--port', String(port), '--save', '', '--dir', '/tmp'], { stdio: 'ignore' })
    const ended = new Promise((resolve, reject) => { child.once('close', resolve); child.once('error', reject) })
    try {
      await Promise.race([redisAnswers('127.0.0.1', port), ended.then(() => { throw new Error('redis-server ended') })])
      return performance.now() - began
    } finally {
      const stopping = performance.now()
      child.kill('SIGTERM')
      await ended
      stops.floor.push(performance.now() - stopping)
    }
  }
  const { name, absent, library } = setting.testcontainers
  const image = absent ?? await setting.docker.image('redis')
  const docker = async () => {
    const began = performance.now()
    const container = await new library.GenericContainer(image).withExposedPorts(6379).start()
    await redisAnswers(container.getHost(), container.getMappedPort(6379))
    const took = performance.now() - began
    const stopping = performance.now()
    await container.stop()
    stops.docker.push(performance.now() - stopping)
    return took
  }
  const ready = await compete([{ name: 'mayfly', once: mayfly }, { name: 'floor', once: floor }, { name, absent, once: docker }], { rounds: 20, pause: 50 })
  const replay = (values) => { const rest = values.slice(2); return async () => rest.shift() }
  const stop = await compete(
    [{ name: 'mayfly', once: replay(stops.mayfly) }, { name: 'floor', once: replay(stops.floor) }, { name, absent, once: replay(stops.docker) }],
    { rounds: 20, warmUps: 0 },
  )
  return { name: 'redis', unit: 'ms', ...ready, series: [{ case: 'stop', ...stop }] }
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

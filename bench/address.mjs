import { writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { compete } from './measure.mjs'

/** GETs to a Redis through its service's fixed address; the floor is the container's own address. */
export async function address(setting) {
  const { launchRun, openSession } = await import('@mayfly/core/plugin')
  const file = join(setting.scratch, 'one.test.js')
  writeFileSync(join(setting.scratch, 'mayfly.config.mjs'), 'export default { services: { cache: { image: "redis", preset: "redis", options: {} } } }')
  const run = await launchRun({ directories: [setting.scratch], slots: 1 })
  try {
    const session = openSession(run.address, file, 1)
    const { grant } = await session.lease({ name: 'cache' })
    const against = (gets, clients) => compete([
      { name: 'mayfly', once: () => asked(grant.address.host, gets, clients) },
      { name: 'floor', once: () => asked(grant.ip, gets, clients) },
    ], { rounds: 15 })
    const one = await against(2000, 1)
    const many = await against(20_000, 16)
    await session.close()
    return { name: 'address', unit: 'ms for 2000 GETs, 1 client', ...one, series: [{ case: '20000 GETs, 16 clients', ...many }] }
  } finally {
    await run.close()
  }
}

/** Milliseconds for so many GETs, each client sending the next when it has the answer. */
async function asked(host, gets, clients) {
  const sockets = await Promise.all(Array.from({ length: clients }, () => new Promise((resolve, reject) => {
    const socket = connect({ host, port: 6379, noDelay: true }, () => resolve(socket)).once('error', reject)
  })))
  const began = performance.now()
  await Promise.all(sockets.map((socket) => new Promise((resolve, reject) => {
    let left = gets / clients
    const next = () => { if (left-- > 0) socket.write('*2\r\n$3\r\nGET\r\n$1\r\nx\r\n'); else resolve() }
    socket.on('data', next).once('error', reject)
    next()
  })))
  const took = performance.now() - began
  for (const socket of sockets) socket.destroy()
  return took
}

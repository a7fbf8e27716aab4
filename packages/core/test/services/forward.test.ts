import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { openForward, type Forward } from '../../src/services/forward.js'

const open: { close(): unknown }[] = []
afterEach(() => open.splice(0).forEach(one => one.close()))

test('a connection that comes early is held until there is a target', async () => {
  const forward = await held()
  const client = connect(forward.port, '127.0.0.1').setEncoding('utf8')
  await once(client, 'connect')
  client.write('hello')
  forward.aim(await echo('first'))
  expect(await once(client, 'data')).toEqual(['first hello'])
  client.destroy()
})

test('after a change of target new connections go to the successor and old ones end', async () => {
  const forward = await held()
  forward.aim(await echo('first'))
  const before = connect(forward.port, '127.0.0.1').setEncoding('utf8')
  before.write('a')
  expect(await once(before, 'data')).toEqual(['first a'])
  const ended = once(before, 'close')
  forward.aim(await echo('second'))
  await ended
  const after = connect(forward.port, '127.0.0.1').setEncoding('utf8')
  after.write('b')
  expect(await once(after, 'data')).toEqual(['second b'])
  after.destroy()
})

async function held(): Promise<Forward> {
  const forward = await openForward()
  open.push(forward)
  return forward
}

async function echo(name: string): Promise<{ host: string; port: number }> {
  const server: Server = createServer(socket => {
    socket.on('error', () => undefined)
    socket.on('data', data => socket.write(`${name} ${data.toString()}`))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  open.push(server)
  return { host: '127.0.0.1', port: (server.address() as AddressInfo).port }
}

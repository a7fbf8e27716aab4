import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { MayflyError } from '../../src/errors.js'
import { speak, type Answer, type Peer } from '../../src/services/wire.js'

let server: Server | undefined
afterEach(() => { server?.close() })

test('answers and errors find the one who asked; the hint stands in the message', async () => {
  const peer = await asking((op, { n }) => {
    if (op === 'double') return Number(n) * 2
    throw new MayflyError('ERR_MAYFLY_TIMEOUT', 'too late', { hint: 'Be early.', details: { n } })
  })
  expect(await Promise.all([1, 2, 3].map(n => peer.request('double', { n })))).toEqual([2, 4, 6])
  await expect(peer.request('fail', { n: 7 })).rejects.toMatchObject({
    code: 'ERR_MAYFLY_TIMEOUT', message: 'too late\nBe early.', details: { n: 7 },
  })
})

test('a stream comes item by item, and who leaves it early is told to the other side', async () => {
  let left = false
  const peer = await asking((op, _params, signal) => op === 'left' ? left : count(signal))
  async function* count(signal: AbortSignal): AsyncGenerator<number> {
    for (let n = 1; !signal.aborted; n += 1) {
      yield n
      await new Promise(resolve => setImmediate(resolve))
    }
    left = true
  }
  const seen: unknown[] = []
  for await (const item of peer.stream('count', {})) {
    seen.push(item)
    if (seen.length === 3) break
  }
  expect(seen).toEqual([1, 2, 3])
  await expect.poll(() => peer.request('left', {})).toBe(true)
})

test('an aborted request ends at once, and its work is told to stop', async () => {
  let stopped: () => void = () => undefined
  const told = new Promise<void>(resolve => void (stopped = resolve))
  const peer = await asking((_op, _params, signal) => new Promise(() => signal.addEventListener('abort', stopped)))
  const abort = new AbortController()
  const asked = peer.request('forever', {}, abort.signal)
  abort.abort()
  await expect(asked).rejects.toMatchObject({ code: 'ERR_MAYFLY_ABORTED' })
  await told
})

test('when the connection is lost, what was asked fails and what was worked on is told', async () => {
  const sockets: Socket[] = []
  let told: () => void = () => undefined
  const stopped = new Promise<void>(resolve => void (told = resolve))
  let served = 0
  const peer = await asking((_op, _params, signal) => {
    served += 1
    return new Promise(() => signal.addEventListener('abort', told))
  }, sockets)
  const asked = peer.request('forever', {})
  const streamed = peer.stream('forever', {}).next()
  await expect.poll(() => served).toBe(2)
  sockets[0]?.destroy()
  await expect(asked).rejects.toMatchObject({ code: 'ERR_MAYFLY_RUN_LOST' })
  await expect(streamed).rejects.toMatchObject({ code: 'ERR_MAYFLY_RUN_LOST' })
  await stopped
  await expect(peer.request('more', {})).rejects.toMatchObject({ code: 'ERR_MAYFLY_RUN_LOST' })
})

async function asking(answer: Answer, sockets: Socket[] = []): Promise<Peer> {
  server = createServer(socket => {
    sockets.push(socket)
    speak(socket, answer)
    socket.ref()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  await once(socket, 'connect')
  return speak(socket, () => undefined)
}

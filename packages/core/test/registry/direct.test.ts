import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:https'
import type { ServerResponse } from 'node:http'
import { createServer as createRaw, type AddressInfo, type Server as RawServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { digestOf } from '../../src/digest.js'
import { parseReference } from '../../src/reference.js'
import { fetchBlob } from '../../src/registry/index.js'
import { authority } from './authority.js'
import { shape, type Asked, type Shape } from './shape.js'

// Large blobs come on connections of their own, into buffers that are used again: what is read of one has to be the blob for all that.
const content = Buffer.concat(Array.from({ length: 300_000 }, (_, at) => Buffer.from(`${String(at)} and more\n`)))
const blob = { mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: digestOf(content), size: content.length }
const closing: (() => Promise<unknown>)[] = []
let directory: string
let before: NodeJS.ProcessEnv

beforeEach(() => {
  before = { ...process.env }
  directory = mkdtempSync(join(tmpdir(), 'mayfly-direct-'))
  process.env['DOCKER_CONFIG'] = directory
})
afterEach(async () => {
  process.env = before
  await Promise.all(closing.splice(0).map((close) => close()))
  rmSync(directory, { recursive: true })
})

async function serve(answer: (asked: Asked, response: ServerResponse) => void): Promise<Shape> {
  const one = await shape(answer)
  closing.push(() => one.close())
  return one
}

async function listen(server: Server | RawServer): Promise<string> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  closing.push(() => new Promise((resolve) => {
    if ('closeAllConnections' in server) server.closeAllConnections()
    server.close(resolve)
  }))
  return `127.0.0.1:${String((server.address() as AddressInfo).port)}`
}

/** What a reader sees that is done with each piece before the next; `slow`: to whom everything comes sooner than it asks. */
async function read(host: string, { slow = false, signal }: { slow?: boolean, signal?: AbortSignal } = {}): Promise<string> {
  const hash = createHash('sha256')
  for await (const piece of fetchBlob(parseReference(`${host}/app`), blob, signal)) {
    if (slow) for (let times = 0; times < 20; times += 1) await turn()
    hash.update(piece)
  }
  return `sha256:${hash.digest('hex')}`
}

describe('a large blob', () => {
  test.each([false, true])('is what was sent, by one question (a slow reader: %s)', async (slow) => {
    const registry = await serve((_, response) => void response.end(content))
    expect(await read(registry.host, { slow })).toBe(blob.digest)
    expect(registry.asked.map(({ headers }) => [headers.connection, headers['user-agent'], headers.host])).toEqual([['close', 'mayfly', registry.host]])
  })

  test('comes however its bytes are cut', async () => {
    const head = `HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\ncontent-length:  ${String(content.length)} \r\n\r\n`
    const whole = Buffer.concat([Buffer.from(head), content, Buffer.from('what nobody asked for')])
    const host = await listen(createRaw({ noDelay: true }, (socket) => {
      socket.on('error', () => undefined).once('data', () => void (async () => {
        for (let at = 0, size = 1; at < whole.length; at += size, size = at < 300 ? 1 : 7 * size % 100_003) {
          socket.write(whole.subarray(at, at + size))
          await turn()
        }
        socket.end()
      })())
    }))
    expect(await read(host)).toBe(blob.digest)
  })

  test('is asked for again by the general client when its answer is an unusual one, and the next one by that at once', async () => {
    const registry = await serve((_, response) => {
      response.write(content.subarray(0, 1000))
      response.end(content.subarray(1000))
    })
    expect(await read(registry.host)).toBe(blob.digest)
    expect(registry.asked.map(({ headers }) => headers.connection)).toEqual(['close', 'keep-alive'])
    expect(await read(registry.host)).toBe(blob.digest)
    expect(registry.asked).toHaveLength(3)
  })

  test('comes from where a redirect leads, which is not shown the credentials', async () => {
    const storage = await serve((_, response) => void response.end(content))
    const registry = await serve(({ headers }, response) => {
      if (headers.authorization === undefined) response.writeHead(401, { 'www-authenticate': ['Negotiate', 'Basic realm="x"'] }).end()
      else response.writeHead(307, { location: `${storage.origin}/blob?signature=a%2Fb` }).end()
    })
    writeFileSync(join(directory, 'config.json'), JSON.stringify({ auths: { [registry.host]: { auth: Buffer.from('ann:p').toString('base64') } } }))
    expect(await read(registry.host)).toBe(blob.digest)
    expect(storage.asked.map(({ url, headers }) => [url.search, headers.authorization])).toEqual([['?signature=a%2Fb', undefined]])
  })

  test('that breaks off goes on where it stopped', async () => {
    const registry = await serve(({ headers }, response) => {
      const from = Number(/\d+/.exec(headers.range ?? '0')?.[0])
      const end = registry.asked.length < 3 ? from + 1_000_000 : content.length
      response.writeHead(from === 0 ? 200 : 206, { 'content-length': content.length - from, 'content-range': `bytes ${String(from)}-${String(content.length - 1)}/${String(content.length)}` })
      response.write(content.subarray(from, end), () => (end === content.length ? response.end() : response.destroy()))
    })
    expect(await read(registry.host)).toBe(blob.digest)
    expect(registry.asked.map(({ headers }) => headers.range === undefined)).toEqual([true, false, false])
  })

  test('of which no more than the announced size is taken', async () => {
    const registry = await serve((_, response) => void response.end(Buffer.concat([content, content])))
    await expect(read(registry.host)).rejects.toMatchObject({ code: 'ERR_MAYFLY_DIGEST_MISMATCH', message: expect.stringContaining('more than') as string })
  })

  test.each<[string, (response: ServerResponse) => void, string]>([
    ['before its answer', () => undefined, 'it does not answer'],
    ['in the middle', (response) => void response.writeHead(200, { 'content-length': content.length }).write('a'), 'it fell silent'],
  ])('whose registry falls silent %s is given up', async (_, answer, why) => {
    process.env['MAYFLY_REGISTRY_TIMEOUT'] = '0.3'
    const registry = await serve((__, response) => { answer(response) })
    await expect(read(registry.host)).rejects.toMatchObject({ code: 'ERR_MAYFLY_REGISTRY_UNAVAILABLE', message: expect.stringContaining(why) as string })
  })

  test('whose reader takes longer than silence may last is waited for', async () => {
    process.env['MAYFLY_REGISTRY_TIMEOUT'] = '0.3'
    const registry = await serve((_, response) => void response.end(content))
    const hash = createHash('sha256')
    let first = true
    for await (const piece of fetchBlob(parseReference(`${registry.host}/app`), blob)) {
      // Longer than the silence: what comes meanwhile fills all buffers, and then the registry waits.
      if (first) await new Promise((resolve) => { setTimeout(resolve, 1000) })
      first = false
      hash.update(piece)
    }
    expect(hash.digest('hex')).toBe(blob.digest.slice(7))
    expect(registry.asked).toHaveLength(1)
  })

  test('nobody wants any more is left where it is', async () => {
    const abort = new AbortController()
    const closed: Promise<unknown>[] = []
    const registry = await serve((_, response) => {
      closed.push(once(response, 'close'))
      response.writeHead(200, { 'content-length': content.length }).write(content.subarray(0, 1000), () => { abort.abort() })
    })
    await expect(read(registry.host, { signal: abort.signal })).rejects.toMatchObject({ code: 'ERR_MAYFLY_ABORTED' })
    for await (const piece of fetchBlob(parseReference(`${registry.host}/app`), blob)) {
      expect(piece.length).toBe(1000)
      break
    }
    await Promise.all(closed)
    expect(closed).toHaveLength(2)
  })

  test('comes by TLS from who is vouched for, and from nobody else', async () => {
    const own = authority()
    const { certificate, key } = own.certify('a registry', ['127.0.0.1'])
    const host = await listen(createServer({ cert: certificate, key }, (_, response) => void response.end(content)))
    // On loopback nobody has to vouch for it, as long as no certificate speaks of it.
    expect(await read(host)).toBe(blob.digest)
    mkdirSync(join(directory, 'certs.d', host), { recursive: true })
    writeFileSync(join(directory, 'certs.d', host, 'ca.crt'), own.certificate)
    expect(await read(host)).toBe(blob.digest)
    expect(await read(host, { slow: true })).toBe(blob.digest)
    writeFileSync(join(directory, 'certs.d', host, 'ca.crt'), authority().certificate)
    await expect(read(host)).rejects.toMatchObject({ message: expect.stringContaining('no authority known here vouches for its certificate') as string })
  })
})

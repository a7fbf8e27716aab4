import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { digestOf } from '../../src/digest.js'
import { parseReference, type Reference } from '../../src/reference.js'
import { fetchBlob, fetchManifest, uploadBlob, uploadManifest } from '../../src/registry/index.js'
import type { Descriptor } from '../../src/registry/manifest.js'
import { shape, type Asked, type Shape } from './shape.js'

const content = randomBytes(40_000)
const blob: Descriptor = { mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: digestOf(content), size: content.length }
const image = Buffer.from(JSON.stringify({ schemaVersion: 2, config: blob, layers: [] }))
const shapes: Shape[] = []
const servers: Server[] = []
let directory: string
let before: NodeJS.ProcessEnv

beforeEach(() => {
  before = { ...process.env }
  directory = mkdtempSync(join(tmpdir(), 'mayfly-faults-'))
  process.env['DOCKER_CONFIG'] = directory
})
afterEach(async () => {
  process.env = before
  await Promise.all(shapes.splice(0).map((one) => one.close()))
  for (const server of servers.splice(0)) server.close()
  rmSync(directory, { recursive: true })
})

async function serve(answer: (asked: Asked, response: ServerResponse) => void): Promise<Shape> {
  const one = await shape(answer)
  shapes.push(one)
  return one
}

/** A server that says this, byte for byte, to whoever comes. */
async function raw(...parts: readonly (string | Buffer)[]): Promise<Reference> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined).once('data', () => void socket.end(Buffer.concat(parts.map((part) => Buffer.from(part)))))
  })
  servers.push(server)
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  return parseReference(`127.0.0.1:${String((server.address() as AddressInfo).port)}/app`)
}

function app({ host }: Shape): Reference {
  return parseReference(`${host}/app`)
}

async function bytes(reference: Reference): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of fetchBlob(reference, blob)) chunks.push(chunk)
  return Buffer.concat(chunks)
}

describe('a pull from a registry', () => {
  test('that calls a manifest something else than it is', async () => {
    for (const type of ['application/vnd.oci.image.index.v1+json', 'application/vnd.docker.distribution.manifest.list.v2+json; charset=utf-8']) {
      const registry = await serve((_, response) => void response.setHeader('content-type', type).end(image))
      await expect(fetchManifest(app(registry))).rejects.toMatchObject({ code: 'ERR_MAYFLY_MANIFEST_INVALID', message: expect.stringContaining('which it is not') as string })
    }
    // Of what says nothing, the content decides.
    for (const type of ['application/json', 'text/plain', 'application/vnd.oci.image.manifest.v1+json']) {
      const registry = await serve((_, response) => void response.setHeader('content-type', type).end(image))
      expect((await fetchManifest(app(registry))).bytes).toEqual(image)
    }
  })

  test('whose Content-Length is too long or too short', async () => {
    const long = await raw(`HTTP/1.1 200 OK\r\nContent-Length: ${String(content.length + 10)}\r\n\r\n`, content)
    await expect(bytes(long)).rejects.toMatchObject({ code: expect.stringMatching(/REGISTRY_UNAVAILABLE|DIGEST_MISMATCH/) as string })
    const short = await raw(`HTTP/1.1 200 OK\r\nContent-Length: ${String(content.length - 10)}\r\n\r\n`, content)
    await expect(bytes(short)).rejects.toMatchObject({ code: expect.stringMatching(/REGISTRY_UNAVAILABLE|DIGEST_MISMATCH/) as string })
  })

  test('that speaks no HTTP, or stops in the middle of its headers', async () => {
    for (const words of ['SSH-2.0-OpenSSH_9.2\r\n', 'HTTP/1.1 200 OK\r\nContent-Le', 'HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n']) {
      await expect(bytes(await raw(words))).rejects.toMatchObject({ code: 'ERR_MAYFLY_REGISTRY_UNAVAILABLE' })
    }
  })

  test('that is slow but goes on, is waited for beyond the time of silence', { timeout: 30_000 }, async () => {
    process.env['MAYFLY_REGISTRY_TIMEOUT'] = '3'
    const registry = await serve((_, response) => void (async () => {
      for (let part = 0; part < 8; part += 1) {
        response.write(content.subarray(part * 5000, (part + 1) * 5000))
        await sleep(500)
      }
      response.end()
    })())
    expect((await bytes(app(registry))).equals(content)).toBe(true)
    expect(registry.asked).toHaveLength(1)
  })
})

describe('a push to a registry', () => {
  /** Answers an upload's questions; `put` decides about its end. */
  function uploads(put: (asked: Asked, response: ServerResponse, times: number) => void): Promise<Shape> {
    let times = 0
    return serve((asked, response) => {
      if (asked.method === 'HEAD') response.writeHead(404).end()
      else if (asked.method === 'POST') response.writeHead(202, { location: '/u/1' }).end()
      else put(asked, response, times += 1)
    })
  }
  const upload = (registry: Shape): Promise<unknown> => {
    writeFileSync(join(directory, 'blob'), content)
    return uploadBlob(app(registry), blob, join(directory, 'blob'), {})
  }

  test.each([429, 500, 502, 503])('that answers %d first', async (status) => {
    const registry = await uploads(({ body }, response, times) => void response.writeHead(times === 1 ? status : body.equals(content) ? 201 : 400, { 'retry-after': '0' }).end())
    expect(await upload(registry)).toBe('uploaded')
  })

  test('that breaks the connection first, or for ever', async () => {
    const once = await uploads(({ body }, response, times) => void (times === 1 ? response.destroy() : response.writeHead(body.equals(content) ? 201 : 400).end()))
    expect(await upload(once)).toBe('uploaded')
    const always = await uploads((_, response) => void response.destroy())
    await expect(upload(always)).rejects.toMatchObject({ code: 'ERR_MAYFLY_REGISTRY_UNAVAILABLE' })
  })

  test('that finds another digest, is full, or only reads: told in its own words', async () => {
    for (const [status, code, message] of [[400, 'DIGEST_INVALID', 'provided digest did not match uploaded content'], [413, 'SIZE_INVALID', 'too large'], [405, 'UNSUPPORTED', 'read-only']] as const) {
      const registry = await uploads((_, response) => void response.writeHead(status).end(JSON.stringify({ errors: [{ code, message }] })))
      await expect(upload(registry)).rejects.toMatchObject({ code: 'ERR_MAYFLY_REGISTRY_UNAVAILABLE', message: expect.stringContaining(`${code}: ${message}`) as string, details: { status } })
    }
  })

  test('that leads in a circle, or nowhere', async () => {
    const circle = await uploads(({ url }, response) => void response.writeHead(307, { location: url.href }).end())
    await expect(upload(circle)).rejects.toThrow('redirects without end')
    const nowhere = await serve(({ method }, response) => void response.writeHead(method === 'HEAD' ? 404 : 202).end())
    await expect(upload(nowhere)).rejects.toThrow('does not say where to upload to')
  })

  test('that does not take a manifest whose blobs it lacks', async () => {
    const registry = await serve((_, response) => void response.writeHead(404).end('{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown to registry"}]}'))
    await expect(uploadManifest(app(registry), image, 'application/vnd.oci.image.manifest.v1+json', 'latest')).rejects.toThrow('MANIFEST_BLOB_UNKNOWN')
  })
})

import dns from 'node:dns'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer as createPlain, request as ask, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import { createServer as createSecure, type ServerOptions } from 'node:https'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'

import { parseReference } from '../../src/reference.js'
import { fetchManifest, type FetchedManifest } from '../../src/registry/index.js'
import { authority, type Authority } from './authority.js'

let directory: string
let own: Authority
let before: NodeJS.ProcessEnv
const servers: Server[] = []
const sockets = new Set<Socket>()

beforeAll(() => {
  own = authority()
  const real = dns.lookup
  // Names below .test are this machine; nobody else is asked.
  vi.spyOn(dns, 'lookup').mockImplementation(((name: string, ...rest: [never, never]) => real(name.endsWith('.test') ? '127.0.0.1' : name, ...rest)) as never)
})
afterAll(() => void vi.restoreAllMocks())
beforeEach(() => {
  before = { ...process.env }
  directory = mkdtempSync(join(tmpdir(), 'mayfly-tls-'))
  for (const name of ['http_proxy', 'https_proxy', 'no_proxy', 'HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY', 'MAYFLY_INSECURE_REGISTRIES']) delete process.env[name]
  process.env['DOCKER_CONFIG'] = directory
})
afterEach(async () => {
  process.env = before
  for (const socket of sockets) socket.destroy()
  await Promise.all(servers.splice(0).map((server) => new Promise((done) => { server.close(done) })))
  rmSync(directory, { recursive: true })
})

const manifest: RequestListener = (_, response) => void response.end('{"schemaVersion":2,"manifests":[]}')

/** Where a server listens: a port of loopback. */
async function listen(server: Server): Promise<string> {
  servers.push(server)
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket))
  })
  server.on('tlsClientError', () => undefined)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return String((server.address() as AddressInfo).port)
}

function secure(names: readonly string[], options: ServerOptions & { days?: number } = {}): Server {
  const { certificate, key } = own.certify('a registry', names, options.days)
  return createSecure({ cert: certificate, key, ...options }, manifest)
}

function keep(host: string, name: string, content: string): void {
  mkdirSync(join(directory, 'certs.d', host), { recursive: true })
  writeFileSync(join(directory, 'certs.d', host, name), content)
}

function pull(host: string): Promise<FetchedManifest> {
  return fetchManifest(parseReference(`${host}/app`))
}

describe('a registry whose authority is its own', () => {
  test('is refused with a hint, then served with its ca.crt', async () => {
    const host = `reg.test:${await listen(secure(['reg.test']))}`
    await expect(pull(host)).rejects.toMatchObject({
      code: 'ERR_MAYFLY_REGISTRY_UNAVAILABLE',
      message: expect.stringContaining('no authority known here vouches for its certificate') as string,
      hint: expect.stringContaining(`~/.docker/certs.d/${host}/ca.crt`) as string,
    })
    keep(host, 'ca.crt', own.certificate)
    expect((await pull(host)).origin).toBe(`https://${host}`)
  })
  test.each(['NODE_EXTRA_CA_CERTS', 'SSL_CERT_FILE'])('is served when %s names it', async (variable) => {
    const host = `reg.test:${await listen(secure(['reg.test']))}`
    writeFileSync(process.env[variable] = join(directory, 'authorities.pem'), own.certificate)
    await pull(host)
  })
  test('is not trusted for another name, nor after its time', async () => {
    const host = `other.test:${await listen(secure(['reg.test']))}`
    keep(host, 'ca.crt', own.certificate)
    await expect(pull(host)).rejects.toThrow('its certificate is for another name')
    const late = `reg.test:${await listen(secure(['reg.test'], { days: -1 }))}`
    keep(late, 'ca.crt', own.certificate)
    await expect(pull(late)).rejects.toThrow('its certificate has expired, or the clock of this machine is wrong')
  })
  test('is served without one on loopback, but not when a ca.crt speaks of it that is wrong', async () => {
    const host = `127.0.0.1:${await listen(secure(['127.0.0.1']))}`
    await pull(host)
    keep(host, 'ca.crt', authority().certificate)
    await expect(pull(host)).rejects.toThrow('no authority known here')
    keep(host, 'ca.crt', own.certificate)
    await pull(host)
  })
  test('that wants to know who we are is shown client.cert', async () => {
    const host = `reg.test:${await listen(secure(['reg.test'], { requestCert: true, rejectUnauthorized: true, ca: own.certificate }))}`
    keep(host, 'ca.crt', own.certificate)
    await expect(pull(host)).rejects.toThrow('it closes the connection')
    const { certificate, key } = own.certify('somebody')
    keep(host, 'client.cert', certificate)
    keep(host, 'client.key', key)
    await pull(host)
  })
})

describe('an insecure registry', () => {
  test('is asked by http or https, whatever it speaks', async () => {
    process.env['MAYFLY_INSECURE_REGISTRIES'] = '*.test'
    await pull(`a.test:${await listen(createPlain(manifest))}`)
    await pull(`a.test:${await listen(secure([], { days: -1 }))}`)
  })
  test('has to be named', async () => {
    const host = `reg.test:${await listen(createPlain(manifest))}`
    await expect(pull(host)).rejects.toMatchObject({ message: `Cannot reach the registry at https://${host}: it does not speak https`, hint: expect.stringContaining(`MAYFLY_INSECURE_REGISTRIES=${host}`) as string })
  })
  test('leads nowhere that is not named itself', async () => {
    const storage = `storage.test:${await listen(createPlain(manifest))}`
    const redirect: RequestListener = (_, response) => void response.writeHead(307, { location: `http://${storage}/x` }).end()
    const { certificate, key } = own.certify('a registry', ['reg.test'])
    const host = `reg.test:${await listen(createSecure({ cert: certificate, key }, redirect))}`
    process.env['MAYFLY_INSECURE_REGISTRIES'] = host
    await expect(pull(host)).rejects.toMatchObject({ message: expect.stringContaining('redirects to an insecure address') as string, hint: `If that is meant: MAYFLY_INSECURE_REGISTRIES=${storage}` })
    process.env['MAYFLY_INSECURE_REGISTRIES'] = `${host},${storage}`
    await pull(host)
  })
})

test.each(['10.0.0.1', '169.254.169.254', '[::ffff:192.168.0.1]', '[fd00::1]', '2130706433', 'localhost', 'localhost.', 'a.localhost'])('a registry on the internet leads nobody to %s', async (inside) => {
  const { certificate, key } = own.certify('a registry', ['reg.test'])
  const host = `reg.test:${await listen(createSecure({ cert: certificate, key }, (_, response) => void response.writeHead(307, { location: `https://${inside}/latest` }).end()))}`
  keep(host, 'ca.crt', own.certificate)
  await expect(pull(host)).rejects.toMatchObject({ code: 'ERR_MAYFLY_REGISTRY_UNAVAILABLE', message: expect.stringContaining('redirects to a private address') as string })
})

describe('a proxy', () => {
  /** Knows what the test's names stand for; keeps what it was asked for. */
  async function proxy(password?: string): Promise<{ host: string, asked: string[] }> {
    const asked: string[] = []
    const allowed = (request: IncomingMessage): boolean => password === undefined || request.headers['proxy-authorization'] === `Basic ${Buffer.from(password).toString('base64')}`
    const server = createPlain((request, response) => {
      asked.push(`${request.method} ${request.url}`)
      if (!allowed(request)) return void response.writeHead(407).end()
      const url = new URL(request.url ?? '')
      ask({ port: url.port, host: '127.0.0.1', path: url.pathname, headers: request.headers }, (answer) => answer.pipe(response.writeHead(answer.statusCode ?? 0, answer.headers))).end()
    })
    server.on('connect', (request: IncomingMessage, socket: Socket) => {
      asked.push(`CONNECT ${request.url}`)
      if (!allowed(request)) return void socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n')
      const through = connect(Number(request.url?.replace(/.*:/, '')), '127.0.0.1', () => {
        socket.write('HTTP/1.1 200 Connected\r\n\r\n')
        socket.pipe(through).pipe(socket)
      })
      through.on('error', () => socket.destroy())
    })
    return { host: `127.0.0.1:${await listen(server)}`, asked }
  }

  test('is asked for a tunnel to an https registry, whose certificate is still checked', async () => {
    const { host: through, asked } = await proxy('me:pass word')
    const host = `far.test:${await listen(secure(['far.test']))}`
    process.env['HTTPS_PROXY'] = `http://me:pass%20word@${through}`
    await expect(pull(host)).rejects.toThrow('no authority known here')
    keep(host, 'ca.crt', own.certificate)
    await pull(host)
    expect(new Set(asked)).toEqual(new Set([`CONNECT ${host}`]))
    asked.length = 0
    process.env['NO_PROXY'] = '.test'
    await pull(host)
    expect(asked).toEqual([])
  })
  test('is asked itself for what goes by plain http', async () => {
    const { host: through, asked } = await proxy()
    const host = `far.test:${await listen(createPlain(manifest))}`
    process.env['HTTP_PROXY'] = through
    process.env['MAYFLY_INSECURE_REGISTRIES'] = host
    await pull(host)
    expect(asked).toEqual([`GET http://${host}/v2/app/manifests/latest`])
  })
  test('that wants a password is told from a registry that does, and the password is told to nobody', async () => {
    const { host: through } = await proxy('me:right')
    process.env['HTTPS_PROXY'] = `http://me:wr0ng@${through}`
    const error: unknown = await pull('far.test:1').catch((e: unknown) => e)
    expect(error).toMatchObject({ message: `Cannot reach the registry at https://far.test:1: the proxy ${through} answered 407`, hint: expect.stringContaining('HTTPS_PROXY=http://user:password@') as string })
    expect(JSON.stringify(error) + String(error)).not.toContain('wr0ng')
  })
})

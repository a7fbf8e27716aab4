import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'

import { digestOf } from '../../src/digest.js'
import { parseReference, type Reference } from '../../src/reference.js'
import { checkedRealm } from '../../src/registry/authentication.js'
import { fetchBlob, fetchManifest, fetchSmallBlob, parseManifest, uploadBlob, uploadManifest, type Uploaded } from '../../src/registry/index.js'
import type { Descriptor } from '../../src/registry/manifest.js'
import { shape, type Asked, type Shape } from './shape.js'

// The hosts are of loopback; challenges, tokens, redirects and headers have the form that each registry documents.
const manifest = Buffer.from('{"schemaVersion":2,"manifests":[]}')
const content = Buffer.from('the content of a blob')
const blob: Descriptor = { mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: digestOf(content), size: content.length }
const shapes: Shape[] = []
let directory: string
let before: NodeJS.ProcessEnv

beforeEach(() => {
  before = { ...process.env }
  directory = mkdtempSync(join(tmpdir(), 'mayfly-conventions-'))
  process.env['DOCKER_CONFIG'] = directory
})
afterEach(async () => {
  process.env = before
  vi.useRealTimers()
  await Promise.all(shapes.splice(0).map((one) => one.close()))
  rmSync(directory, { recursive: true })
})

async function serve(answer: (asked: Asked, response: ServerResponse) => void): Promise<Shape> {
  const one = await shape(answer)
  shapes.push(one)
  return one
}

/** A token server: whose answers, and what it was asked for as `who scope…`. */
async function tokens(answer: (who: string, asked: Asked) => object | undefined): Promise<Shape> {
  return serve((asked, response) => {
    const given = answer(Buffer.from(asked.headers.authorization?.replace('Basic ', '') ?? '', 'base64').toString(), asked)
    if (given === undefined) response.writeHead(401).end()
    else response.end(JSON.stringify(given))
  })
}

/** A registry that serves everything to who has the token. */
async function behind(token: () => string, challenge: string, serving: (asked: Asked, response: ServerResponse) => void = plain): Promise<Shape> {
  return serve((asked, response) => {
    if (asked.headers.authorization === token()) serving(asked, response)
    else response.writeHead(401, { 'www-authenticate': challenge }).end()
  })
}

function plain({ url }: Asked, response: ServerResponse): void {
  response.end(url.pathname.includes('/manifests/') ? manifest : content)
}

function config(value: object): void {
  writeFileSync(join(directory, 'config.json'), JSON.stringify(value))
}

function auth(host: string, user: string, password: string): void {
  config({ auths: { [host]: { auth: Buffer.from(`${user}:${password}`).toString('base64') } } })
}

async function bytes(reference: Reference): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of fetchBlob(reference, blob)) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

function upload(reference: Reference, from: readonly string[] = []): Promise<Uploaded> {
  writeFileSync(join(directory, 'blob'), content)
  return uploadBlob(reference, blob, join(directory, 'blob'), { from })
}

describe('Docker Hub', () => {
  test('official images lie below library/, tokens are for anybody, blobs lie elsewhere and are not shown the token', async () => {
    const storage = await serve((asked, response) => void response.end(content))
    const hub = await tokens(() => ({ token: 'hub', access_token: 'hub', expires_in: 300, issued_at: '2026-01-01T00:00:00Z' }))
    const registry = await behind(() => 'Bearer hub', `Bearer realm="${hub.origin}/token",service="registry.docker.io",scope="repository:library/redis:pull"`, (asked, response) => {
      if (asked.url.pathname.includes('/manifests/')) response.writeHead(200, { 'docker-content-digest': digestOf(manifest), 'ratelimit-limit': '100;w=21600' }).end(manifest)
      else response.writeHead(307, { location: `${storage.origin}/registry-v2/docker/data?X-Amz-Signature=abc%2Fdef~` }).end()
    })
    process.env['MAYFLY_REGISTRY_MIRROR'] = `${registry.origin},off`
    const redis = parseReference('redis:7')
    await fetchManifest(redis)
    expect(await bytes(redis)).toBe(content.toString())
    expect(hub.lines()).toEqual(['GET /token?service=registry.docker.io&scope=repository%3Alibrary%2Fredis%3Apull'])
    expect(registry.asked.map(({ url }) => url.pathname)).toEqual(['/v2/library/redis/manifests/7', '/v2/library/redis/manifests/7', `/v2/library/redis/blobs/${blob.digest}`])
    expect(storage.asked.map(({ url, headers }) => [url.search, headers.authorization])).toEqual([['?X-Amz-Signature=abc%2Fdef~', undefined]])
  })
  test('a rate limit is waited for when it is short, else told with its figures', async () => {
    let wait = '0'
    const registry = await serve((asked, response) => {
      if (wait === '0' && registry.asked.length > 1) return void response.end(manifest)
      response.writeHead(429, { 'retry-after': wait, 'ratelimit-limit': '100;w=21600', 'ratelimit-remaining': '0;w=21600' }).end('{}')
    })
    await fetchManifest(parseReference(`${registry.host}/app`))
    expect(registry.asked).toHaveLength(2)
    wait = '3600'
    await expect(fetchManifest(parseReference(`${registry.host}/app`))).rejects.toMatchObject({
      code: 'ERR_MAYFLY_REGISTRY_UNAVAILABLE', message: `${registry.host} answered 429 for app: 100 pulls in 6 h are allowed, again in 3600 s`, hint: expect.stringContaining('log in') as string,
    })
    expect(registry.asked).toHaveLength(3)
  })
})

describe('tokens', () => {
  test('last a minute when nobody says how long, and are renewed before they end', async () => {
    let count = 0
    const server = await tokens(() => ({ access_token: `t${String(count += 1)}` }))
    const registry = await behind(() => `Bearer t${String(Math.max(count, 1))}`, `Bearer realm="${server.origin}"`)
    const app = parseReference(`${registry.host}/app`)
    await fetchManifest(app)
    await fetchManifest(app)
    expect(server.asked).toHaveLength(1)
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 56_000 })
    await fetchManifest(app)
    expect(server.asked).toHaveLength(2)
  })
  test('that end in the middle of a long pull are renewed, once for all that goes on', async () => {
    let valid = 1
    const server = await tokens(() => ({ token: `t${String(valid)}`, expires_in: 3600 }))
    const registry = await behind(() => `Bearer t${String(valid)}`, `Bearer realm="${server.origin}",service="s"`)
    const app = parseReference(`${registry.host}/app`)
    await fetchManifest(app)
    valid = 2
    expect(await Promise.all([bytes(app), bytes(app), bytes(app), bytes(app)])).toEqual(Array(4).fill(content.toString()))
    expect(server.asked).toHaveLength(2)
  })
  test.each([['of another kind', '{"token":"a b"}'], ['missing', '{}'], ['no JSON', '<html>']])('%s end in a refusal', async (_, body) => {
    const server = await serve((asked, response) => void response.end(body))
    const registry = await behind(() => 'nothing', `Bearer realm="${server.origin}"`)
    await expect(fetchManifest(parseReference(`${registry.host}/app`))).rejects.toMatchObject({ code: 'ERR_MAYFLY_REGISTRY_UNAUTHORIZED' })
  })
  test.each(['http://169.254.169.254/latest', 'https://10.0.0.1/token', 'http://auth.example/token', 'ftp://auth.example', ''])('are not asked of %s by a registry on the internet', (realm) => {
    const registry = { origin: 'https://registry.example', host: 'registry.example', repository: 'x', mirror: false, insecure: false }
    expect(() => checkedRealm(registry, realm)).toThrow('names no usable token server')
  })
})

test('GitHub: who pushes signs in with a token for a password; uploads go on where a relative location says', async () => {
  const server = await tokens((who) => (who === 'ann:ghp_x' ? { token: 'Z2hw' } : undefined))
  const registry = await behind(() => 'Bearer Z2hw', `Bearer realm="${server.origin}/token",service="ghcr.io",scope="repository:ann/app:pull"`, (asked, response) => {
    if (asked.method === 'HEAD') response.writeHead(404).end()
    else if (asked.method === 'POST') response.writeHead(202, { location: '/v2/ann/app/blobs/upload/1.2?_state=a%20b~c' }).end()
    else response.writeHead(201, { 'docker-content-digest': blob.digest }).end()
  })
  auth(registry.host, 'ann', 'ghp_x')
  expect(await upload(parseReference(`${registry.host}/ann/app`))).toBe('uploaded')
  expect(server.lines()).toEqual(['GET /token?service=ghcr.io&scope=repository%3Aann%2Fapp%3Apull%2Cpush'])
  expect(registry.lines().slice(-2)).toEqual(['POST /v2/ann/app/blobs/uploads/', `PUT /v2/ann/app/blobs/upload/1.2?_state=a%20b~c&digest=${encodeURIComponent(blob.digest)}`])
  expect(registry.asked.at(-1)?.body).toEqual(content)
})

test('GitLab: projects may be nested, its token server is the site, not the registry', async () => {
  const site = await tokens((who) => (who === 'gitlab-ci-token:job' ? { token: 'jwt' } : undefined))
  const registry = await behind(() => 'Bearer jwt', `Bearer realm="${site.origin}/jwt/auth",service="container_registry",scope="repository:group/sub/app:pull"`)
  auth(registry.host, 'gitlab-ci-token', 'job')
  expect(await bytes(parseReference(`${registry.host}/group/sub/app`))).toBe(content.toString())
  expect(site.lines()).toEqual(['GET /jwt/auth?service=container_registry&scope=repository%3Agroup%2Fsub%2Fapp%3Apull'])
})

test('ECR: a helper gives the password of the user AWS, blobs are signed in the object storage', async () => {
  const storage = await serve(({ headers }, response) => void (headers.authorization === undefined ? response.end(content) : response.writeHead(400).end('InvalidArgument: Only one auth mechanism allowed')))
  const password = Buffer.from('{"payload":"…"}').toString('base64')
  const expected = `Basic ${Buffer.from(`AWS:${password}`).toString('base64')}`
  const registry = await behind(() => expected, 'Basic realm="https://1.dkr.ecr.eu-west-1.amazonaws.com/",service="ecr.amazonaws.com"', (asked, response) => {
    if (asked.url.pathname.includes('/manifests/')) plain(asked, response)
    else response.writeHead(307, { location: `${storage.origin}/blob?X-Amz-Algorithm=AWS4-HMAC-SHA256` }).end()
  })
  const helper = join(directory, 'docker-credential-ecr-login')
  writeFileSync(helper, `#!/bin/sh\n[ "$1" = get ] && printf '{"ServerURL":"%s","Username":"AWS","Secret":"${password}"}' "$(cat)"\n`)
  chmodSync(helper, 0o755)
  process.env['PATH'] = `${directory}${delimiter}${process.env['PATH'] ?? ''}`
  config({ credHelpers: { [registry.host]: 'ecr-login' } })
  const app = parseReference(`${registry.host}/app`)
  await fetchManifest(app)
  expect(await bytes(app)).toBe(content.toString())
})

describe('Google', () => {
  test.each([['_json_key', '{\n  "type": "service_account",\n  "private_key": "a:b"\n}'], ['oauth2accesstoken', 'ya29.x'], ['_dcgcloud_token', 'ya29.y']])('the user %s', async (user, password) => {
    const server = await tokens((who) => (who === `${user}:${password}` ? { token: 'AJ', expires_in: 43_200, issued_at: '…' } : undefined))
    const registry = await behind(() => 'Bearer AJ', `Bearer realm="${server.origin}/v2/token",service="gcr.io",scope="repository:project/repo/app:pull"`)
    auth(registry.host, user, password)
    await fetchManifest(parseReference(`${registry.host}/project/repo/app`))
    expect(server.lines()).toEqual(['GET /v2/token?service=gcr.io&scope=repository%3Aproject%2Frepo%2Fapp%3Apull'])
  })
  test('uploads to Artifact Registry go on outside /v2/', async () => {
    const registry = await serve(({ method }, response) => {
      if (method === 'HEAD') response.writeHead(404).end()
      else if (method === 'POST') response.writeHead(202, { location: `${registry.origin}/artifacts-uploads/namespaces/p/repositories/r/uploads/ABC=` }).end()
      else response.writeHead(201).end()
    })
    expect(await upload(parseReference(`${registry.host}/p/r/app`))).toBe('uploaded')
    expect(registry.lines().at(-1)).toBe(`PUT /artifacts-uploads/namespaces/p/repositories/r/uploads/ABC=?digest=${encodeURIComponent(blob.digest)}`)
  })
})

test('Quay: robots have a + in their name, and the first 401 comes for the repository', async () => {
  const server = await tokens((who) => (who === 'org+robot:key' ? { token: 'q' } : undefined))
  const registry = await behind(() => 'Bearer q', `Bearer realm="${server.origin}/v2/auth",service="quay.io",scope="repository:org/app:pull"`)
  auth(registry.host, 'org+robot', 'key')
  await fetchManifest(parseReference(`${registry.host}/org/app`))
  // No question of /v2/ before: some registries answer it with 200 to everybody.
  expect(registry.lines()).toEqual(['GET /v2/org/app/manifests/latest', 'GET /v2/org/app/manifests/latest'])
})

test('Azure: a refresh token is sent in the body, never in a URL', async () => {
  const server = await serve(({ method, body }, response) => {
    const form = new URLSearchParams(body.toString())
    if (method === 'POST' && form.get('grant_type') === 'refresh_token' && form.get('refresh_token') === 'secret') response.end('{"access_token":"az"}')
    else response.writeHead(400).end()
  })
  const registry = await behind(() => 'Bearer az', `Bearer realm="${server.origin}/oauth2/token",service="r.azurecr.io",scope="repository:app:pull"`)
  config({ auths: { [registry.host]: { auth: Buffer.from('00000000-0000-0000-0000-000000000000:').toString('base64'), identitytoken: 'secret' } } })
  await fetchManifest(parseReference(`${registry.host}/app`))
  expect(server.lines()).toEqual(['POST /oauth2/token'])
})

test('a registry token of Docker\'s config.json is sent as it is, and no token server asked', async () => {
  const server = await tokens(() => ({ token: 'another' }))
  const registry = await behind(() => 'Bearer ready', `Bearer realm="${server.origin}/token",service="r"`)
  config({ auths: { [registry.host]: { registrytoken: 'ready' } } })
  await fetchManifest(parseReference(`${registry.host}/app`))
  expect(await bytes(parseReference(`${registry.host}/app`))).toBe(content.toString())
  expect(server.asked).toEqual([])
})

describe('pushes', () => {
  test('whose mount is refused, or not understood, become uploads', async () => {
    for (const status of [202, 401, 403, 404, 405]) {
      const registry = await serve(({ method, url }, response) => {
        if (method === 'HEAD') response.writeHead(404).end()
        else if (method === 'PUT') response.writeHead(201).end()
        else if (url.searchParams.has('mount') && status !== 202) response.writeHead(status, status === 401 ? { 'www-authenticate': 'Basic realm="x"' } : {}).end()
        else response.writeHead(202, { location: '/upload/1' }).end()
      })
      expect([status, await upload(parseReference(`${registry.host}/team/app`), ['other/app'])]).toEqual([status, 'uploaded'])
      expect(registry.lines()[1]).toBe(`POST /v2/team/app/blobs/uploads/?mount=${blob.digest}&from=other%2Fapp`)
    }
  })
  test('that go on at another host do not show it the credentials', async () => {
    const other = await serve((asked, response) => void response.writeHead(201).end())
    const registry = await behind(() => `Basic ${Buffer.from('a:b').toString('base64')}`, 'Basic realm="x"', ({ method }, response) => void (method === 'HEAD' ? response.writeHead(404) : response.writeHead(202, { location: `${other.origin}/u?sig=1` })).end())
    auth(registry.host, 'a', 'b')
    expect(await upload(parseReference(`${registry.host}/app`))).toBe('uploaded')
    expect(other.asked.map(({ method, headers }) => [method, headers.authorization])).toEqual([['PUT', undefined]])
  })
  test('in parts go on from what the registry has, after 416 and after a broken connection', async () => {
    const large = Buffer.alloc(33 * 2 ** 20, 'x')
    const kept: Buffer[] = []
    const size = (): number => kept.reduce((sum, one) => sum + one.length, 0)
    let troubles = 0
    const registry = await serve(({ method, headers, body }, response) => {
      const range = size() === 0 ? '0-0' : `0-${String(size() - 1)}`
      if (method === 'HEAD') return void response.writeHead(404).end()
      if (method === 'POST') return void response.writeHead(202, { location: '/u/0' }).end()
      if (method === 'GET') return void response.writeHead(204, { location: '/u/again', range }).end()
      if (method === 'PUT') return void response.writeHead(size() === large.length ? 201 : 400).end()
      troubles += 1
      if (!String(headers['content-range']).startsWith(`${String(size())}-`)) return void response.writeHead(416, { location: '/u/again', range }).end()
      // Half of the second part comes through, then the line breaks.
      kept.push(troubles === 2 ? body.subarray(0, 1000) : body)
      if (troubles === 2) return void response.destroy()
      response.writeHead(202, { location: `/u/${String(troubles)}`, range: `0-${String(size() - 1)}` }).end()
    })
    writeFileSync(join(directory, 'large'), large)
    await uploadBlob(parseReference(`${registry.host}/app`), { ...blob, digest: digestOf(large), size: large.length }, join(directory, 'large'))
    expect(Buffer.concat(kept).equals(large)).toBe(true)
  })
  test('of a manifest that the registry calls something else fail', async () => {
    const registry = await serve((asked, response) => void response.writeHead(201, { 'docker-content-digest': blob.digest }).end())
    await expect(uploadManifest(parseReference(`${registry.host}/app`), manifest, 'application/json', 'latest')).rejects.toMatchObject({ code: 'ERR_MAYFLY_DIGEST_MISMATCH' })
  })
})

describe('faults', () => {
  const app = (registry: Shape): Reference => parseReference(`${registry.host}/app`)
  test('a manifest that is not what its Docker-Content-Digest says, and a config of another content', async () => {
    const registry = await serve((asked, response) => void response.setHeader('docker-content-digest', blob.digest).end(manifest))
    await expect(fetchManifest(app(registry))).rejects.toMatchObject({ code: 'ERR_MAYFLY_DIGEST_MISMATCH' })
    await expect(fetchSmallBlob(app(registry), blob)).rejects.toMatchObject({ code: 'ERR_MAYFLY_DIGEST_MISMATCH' })
  })
  test('a manifest too large, and redirects without end', async () => {
    const registry = await serve(({ url }, response) => void (url.pathname.includes('loop') ? response.writeHead(302, { location: url.pathname }).end() : response.end(Buffer.alloc(5 * 2 ** 20, ' '))))
    await expect(fetchManifest(app(registry))).rejects.toMatchObject({ code: 'ERR_MAYFLY_MANIFEST_INVALID', message: expect.stringContaining('larger than') as string })
    await expect(fetchManifest(parseReference(`${registry.host}/loop`))).rejects.toThrow('redirects without end')
  })
  test('a blob that breaks off goes on where it stopped, or begins anew when the registry knows no ranges', async () => {
    for (const ranges of [true, false]) {
      const registry = await serve(({ headers }, response) => {
        const from = ranges ? Number(/\d+/.exec(headers.range ?? '0')?.[0]) : 0
        const end = registry.asked.length < 3 ? from + 5 : content.length
        response.writeHead(from === 0 ? 200 : 206, { 'content-length': content.length - from, 'content-range': `bytes ${String(from)}-${String(content.length - 1)}/${String(content.length)}` })
        response.write(content.subarray(from, end), () => (end === content.length ? response.end() : response.destroy()))
      })
      expect(await bytes(app(registry))).toBe(content.toString())
      expect(registry.asked.map(({ headers }) => headers.range)).toEqual(ranges ? [undefined, 'bytes=5-', 'bytes=10-'] : [undefined, 'bytes=5-', 'bytes=5-'])
    }
  })
  test('a blob of another range, one too long, and one that is always short', async () => {
    let answer: (asked: Asked, response: ServerResponse) => void = () => undefined
    const registry = await serve((asked, response) => answer(asked, response))
    answer = ({ headers }, response) => {
      if (headers.range !== undefined) return void response.writeHead(206, { 'content-range': 'bytes 0-3/21' }).end('abcd')
      response.writeHead(200, { 'content-length': content.length }).write(content.subarray(0, 5), () => response.destroy())
    }
    await expect(bytes(app(registry))).rejects.toThrow('another range than the one asked for')
    answer = (asked, response) => void response.end(Buffer.concat([content, content]))
    await expect(bytes(app(registry))).rejects.toMatchObject({ code: 'ERR_MAYFLY_DIGEST_MISMATCH', message: expect.stringContaining('more than') as string })
    answer = (asked, response) => void response.end(content.subarray(0, 4))
    await expect(bytes(app(registry))).rejects.toMatchObject({ code: 'ERR_MAYFLY_DIGEST_MISMATCH' })
  })
  test('a registry that falls silent is given up', async () => {
    process.env['MAYFLY_REGISTRY_TIMEOUT'] = '0.3'
    const registry = await serve(({ url }, response) => {
      if (url.pathname.includes('/blobs/')) response.writeHead(200, { 'content-length': content.length }).write('a')
    })
    await expect(bytes(app(registry))).rejects.toMatchObject({ code: 'ERR_MAYFLY_REGISTRY_UNAVAILABLE', message: expect.stringContaining('it fell silent') as string })
  })
  test('a busy registry is asked again, one that is sure of itself is not', async () => {
    const counts = await Promise.all([408, 429, 500, 502, 503, 400, 404, 410].map(async (status) => {
      const registry = await serve((asked, response) => void response.writeHead(status, { 'retry-after': '0' }).end('{}'))
      await expect(fetchSmallBlob(app(registry), blob)).rejects.toMatchObject({ code: expect.stringMatching(/UNAVAILABLE|NOT_FOUND/) as string })
      return [status, registry.asked.length]
    }))
    expect(counts).toEqual([[408, 4], [429, 4], [500, 4], [502, 4], [503, 4], [400, 1], [404, 1], [410, 1]])
  })
  test('what is no manifest', () => {
    const refused = (value: unknown, why: string): void => expect(() => parseManifest(Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)), 'app')).toThrow(why)
    refused('<html>', 'is not JSON')
    refused({ schemaVersion: 1, fsLayers: [] }, 'schema 1 form')
    refused({ schemaVersion: 2, manifests: [], layers: [], config: {} }, 'an index and an image at once')
    refused({ mediaType: 'application/vnd.oci.image.index.v1+json', layers: [], config: {} }, 'its media type contradicts its content')
    refused({ mediaType: 'application/vnd.oci.image.manifest.v1+json', manifests: [] }, 'its media type contradicts its content')
    refused({ config: { digest: '../../etc/passwd', size: 1 }, layers: [] }, 'no sha256 digest')
    refused({ config: { digest: blob.digest, size: -1 }, layers: [] }, 'has no size')
    refused({ config: blob, layers: Array(1001).fill(blob) }, 'more than 1000 entries')
    refused(`{"layers":${'['.repeat(100_000)}${']'.repeat(100_000)}}`, 'is missing')
  })
})

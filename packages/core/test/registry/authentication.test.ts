import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'

import { parseReference } from '../../src/reference.js'
import { credentialsFor, fetchManifest, parseChallenges } from '../../src/registry/index.js'

const auth = Buffer.from('ann:s3cret').toString('base64')
let server: Server | undefined

afterEach(async () => {
  delete process.env['DOCKER_AUTH_CONFIG']
  server?.closeAllConnections()
  await new Promise((resolve) => { if (server === undefined) resolve(undefined); else server.close(resolve) })
  server = undefined
})

test('challenges are read with quotes, commas in values and several schemes', () => {
  const [bearer, basic] = parseChallenges('Bearer realm="https://a.example/t",service="s",scope="repository:a:pull,push", Basic realm="x \\"y\\""')
  expect(bearer?.scheme).toBe('bearer')
  expect(Object.fromEntries(bearer?.parameters ?? [])).toEqual({ realm: 'https://a.example/t', service: 's', scope: 'repository:a:pull,push' })
  expect(basic).toEqual({ scheme: 'basic', parameters: new Map([['realm', 'x "y"']]) })
  expect(parseChallenges(undefined)).toEqual([])
})

test('credentials come from DOCKER_AUTH_CONFIG, then from config.json', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'mayfly-docker-'))
  try {
    await writeFile(join(directory, 'config.json'), JSON.stringify({ auths: { 'https://index.docker.io/v1/': { auth } } }))
    expect(await credentialsFor('docker.io', '', { DOCKER_CONFIG: directory })).toEqual({ username: 'ann', password: 's3cret' })
    expect(await credentialsFor('ghcr.io', '', { DOCKER_CONFIG: directory })).toBeUndefined()
    const inline = JSON.stringify({ auths: { 'ghcr.io': { username: 'bob', password: 'p' } } })
    expect(await credentialsFor('ghcr.io', '', { DOCKER_CONFIG: directory, DOCKER_AUTH_CONFIG: inline })).toEqual({ username: 'bob', password: 'p' })
  } finally {
    await rm(directory, { recursive: true })
  }
})

test('containers\' auth files: the closest name of a repository counts, Docker\'s own file comes first', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'mayfly-auth-'))
  const entry = (name: string): { auth: string } => ({ auth: Buffer.from(`${name}:p`).toString('base64') })
  try {
    await mkdir(join(directory, 'containers'))
    const file = join(directory, 'containers/auth.json')
    await writeFile(file, JSON.stringify({ auths: { 'quay.io': entry('host'), 'quay.io/team': entry('team'), 'quay.io/team/app': entry('app') } }))
    const env = { DOCKER_CONFIG: join(directory, 'none'), XDG_RUNTIME_DIR: directory, XDG_CONFIG_HOME: join(directory, 'none'), HOME: directory }
    const who = async (repository: string, more = {}): Promise<string | undefined> => (await credentialsFor('quay.io', repository, { ...env, ...more }))?.username
    expect([await who('team/app'), await who('team/other'), await who('somebody/else')]).toEqual(['app', 'team', 'host'])
    const own = join(directory, 'own.json')
    await writeFile(own, JSON.stringify({ auths: { 'quay.io': entry('own') } }))
    expect(await who('team/app', { REGISTRY_AUTH_FILE: own })).toBe('own')
    expect(await who('team/app', { XDG_RUNTIME_DIR: join(directory, 'none') })).toBeUndefined()
  } finally {
    await rm(directory, { recursive: true })
  }
})

test('a bearer token is fetched once, renewed on 401, and secrets stay out of errors', async () => {
  let tokens = 0
  let valid = ''
  const manifest = JSON.stringify({ schemaVersion: 2, manifests: [] })
  server = createServer((request, response) => {
    const { host = '', authorization } = request.headers
    if (request.url?.startsWith('/token') === true) {
      if (authorization !== `Basic ${auth}`) return void response.writeHead(401).end()
      valid = `t${tokens += 1}`
      return void response.end(JSON.stringify({ token: valid, expires_in: 300 }))
    }
    if (authorization === `Bearer ${valid}` && valid !== '') return void response.end(manifest)
    response.writeHead(401, { 'www-authenticate': `Bearer realm="http://${host}/token",service="r"` }).end()
  })
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve))
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  const reference = parseReference(`${host}/private/app`)
  await expect(fetchManifest(reference)).rejects.toMatchObject({ code: 'ERR_MAYFLY_REGISTRY_UNAUTHORIZED' })
  process.env['DOCKER_AUTH_CONFIG'] = JSON.stringify({ auths: { [host]: { auth } } })
  await fetchManifest(reference)
  await fetchManifest(reference)
  expect(tokens).toBe(1)
  valid = 'revoked'
  await fetchManifest(reference)
  expect(tokens).toBe(2)
  process.env['DOCKER_AUTH_CONFIG'] = JSON.stringify({ auths: { [host]: { username: 'ann', password: 'wr0ng' } } })
  valid = 'revoked'
  const error: unknown = await fetchManifest(reference).catch((e: unknown) => e)
  expect(error).toMatchObject({ code: 'ERR_MAYFLY_REGISTRY_UNAUTHORIZED' })
  expect(JSON.stringify(error) + String(error)).not.toMatch(/wr0ng|s3cret/)
})

test('credentials are not sent on after a redirect to another origin, and 503 is tried again', async () => {
  let calls = 0
  const seen: (string | undefined)[] = []
  const other = createServer((request, response) => {
    seen.push(request.headers.authorization)
    response.end('{"schemaVersion":2,"manifests":[]}')
  })
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
  server = createServer((request, response) => {
    calls += 1
    if (calls === 1) return void response.writeHead(503, { 'retry-after': '0' }).end()
    if (request.headers.authorization === undefined) return void response.writeHead(401, { 'www-authenticate': 'Basic realm="r"' }).end()
    response.writeHead(307, { location: `http://127.0.0.1:${(other.address() as AddressInfo).port}/x` }).end()
  })
  try {
    await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve))
    const host = `127.0.0.1:${(server.address() as AddressInfo).port}`
    process.env['DOCKER_AUTH_CONFIG'] = JSON.stringify({ auths: { [host]: { auth } } })
    await fetchManifest(parseReference(`${host}/app`))
    expect(seen).toEqual([undefined])
  } finally {
    other.closeAllConnections()
    await new Promise((resolve) => other.close(resolve))
  }
})

import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { openStore, pullImage, pushImage, tagImage, verifyStore, type Store } from '../../packages/core/src/images/index.js'
import { parseReference } from '../../packages/core/src/reference.js'
import { login, logout } from '../../packages/core/src/registry/index.js'
import { fakeRegistry, tar } from '../../packages/core/test/images/fixture.js'
import { authority } from '../../packages/core/test/registry/authority.js'
import { startRegistry } from '../images/registry.mjs'
import { tokenServer, type TokenServer } from './tokens.js'

type Registry = Awaited<ReturnType<typeof startRegistry>>

const user = { username: 'ann', password: 'pa:ss wörd' }
const before = { ...process.env }
const own = authority()
let directory: string
let store: Store
let digest: string
let count = 0

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'mayfly-registries-'))
  process.env['DOCKER_CONFIG'] = join(directory, 'docker')
  const source = await fakeRegistry()
  store = await openStore(join(directory, 'store'))
  // The last one is sent in parts.
  digest = source.add('app', '1', [tar([{ name: 'a', content: 'a' }]), tar([{ name: 'large', content: randomBytes(20_000_000) }])])
  await pullImage(store, parseReference(`${source.host}/app:1`))
  await tagImage(store, parseReference(`${source.host}/app:1`), parseReference('app:1'))
  await source.close()
})
afterAll(() => {
  process.env = before
  rmSync(directory, { recursive: true })
})

function file(name: string, content: string): string {
  mkdirSync(directory, { recursive: true })
  writeFileSync(join(directory, name), content, { mode: 0o600 })
  return join(directory, name)
}

function storage(): string {
  const path = join(directory, `storage-${String(count += 1)}`)
  mkdirSync(path)
  return path
}

async function push({ host }: Registry, name: string): Promise<string> {
  const reference = parseReference(`${host}/${name}`)
  await tagImage(store, parseReference('app:1'), reference)
  return await pushImage(store, reference)
}

/** Into a store that has nothing. */
async function pull({ host }: Registry, name: string): Promise<string> {
  const home = join(directory, `home-${String(count += 1)}`)
  const fresh = await openStore(home)
  const image = await pullImage(fresh, parseReference(`${host}/${name}`))
  expect(await verifyStore(fresh)).toMatchObject({ layers: 2, problems: [] })
  rmSync(home, { recursive: true })
  return image.digest
}

/** Names the host of a test, so that certs.d speaks of it. */
function trust({ host }: Registry, content: Readonly<Record<string, string>>): void {
  const certificates = join(directory, 'docker/certs.d', host)
  mkdirSync(certificates, { recursive: true })
  for (const [name, text] of Object.entries(content)) writeFileSync(join(certificates, name), text)
}

const unauthorized = expect.objectContaining({ code: 'ERR_MAYFLY_REGISTRY_UNAUTHORIZED' }) as Error

test('a registry that asks nobody', async () => {
  const registry = await startRegistry({ storage: storage() })
  try {
    expect(await push(registry, 'team/app:1')).toBe(digest)
    expect(await pull(registry, 'team/app:1')).toBe(digest)
    expect(await pull(registry, `team/app@${digest}`)).toBe(digest)
    await login(registry.host, user)
    expect(await logout(registry.host)).toBe(true)
  } finally {
    await registry.close()
  }
})

test('passwords, over TLS with an authority of one\'s own', async () => {
  const { certificate, key } = own.certify('registry', ['127.0.0.1'])
  const registry = await startRegistry({
    storage: storage(), htpasswd: { user: user.username, password: user.password },
    tls: { certificate: file('registry.crt', certificate), key: file('registry.key', key) },
  })
  try {
    trust(registry, { 'ca.crt': authority().certificate })
    await expect(pull(registry, 'app:1')).rejects.toThrow('no authority known here vouches for its certificate')
    trust(registry, { 'ca.crt': own.certificate })
    await expect(push(registry, 'app:1')).rejects.toThrow(unauthorized)
    await expect(login(registry.host, { ...user, password: 'wrong' })).rejects.toThrow(unauthorized)
    await login(registry.host, user)
    expect(await push(registry, 'app:1')).toBe(digest)
    expect(await pull(registry, 'app:1')).toBe(digest)
    await logout(registry.host)
    await expect(pull(registry, 'app:1')).rejects.toThrow(unauthorized)
  } finally {
    await registry.close()
  }
})

test('certificates of ours', async () => {
  const { certificate, key } = own.certify('registry', ['127.0.0.1'])
  const registry = await startRegistry({
    storage: storage(), tls: { certificate: file('asking.crt', certificate), key: file('asking.key', key), clientcas: [file('clients.pem', own.certificate)] },
  })
  try {
    trust(registry, { 'ca.crt': own.certificate })
    await expect(push(registry, 'app:1')).rejects.toMatchObject({ message: expect.stringContaining('it closes the connection') as string, hint: expect.stringContaining(`~/.docker/certs.d/${registry.host}/client.cert`) as string })
    const we = own.certify('ann')
    trust(registry, { 'client.cert': we.certificate, 'client.key': we.key })
    expect(await push(registry, 'app:1')).toBe(digest)
    expect(await pull(registry, 'app:1')).toBe(digest)
  } finally {
    await registry.close()
  }
})

describe('tokens', () => {
  let tokens: TokenServer
  let registry: Registry
  beforeAll(async () => {
    tokens = await tokenServer(own, { name: user.username, password: user.password })
    const { realm, service, issuer } = tokens
    registry = await startRegistry({ storage: storage(), token: { realm, service, issuer, rootcertbundle: file('tokens.pem', own.certificate) } })
  })
  afterAll(async () => {
    await registry.close()
    await tokens.close()
  })

  test('are given for a password, one for each repository and what is done there', async () => {
    await expect(push(registry, 'public/app:1')).rejects.toThrow(unauthorized)
    await expect(login(registry.host, { ...user, password: 'wrong' })).rejects.toThrow(unauthorized)
    await login(registry.host, user)
    tokens.asked.length = 0
    expect(await push(registry, 'public/app:1')).toBe(digest)
    expect(await push(registry, 'private/app:1')).toBe(digest)
    expect(await pull(registry, 'private/app:1')).toBe(digest)
    expect(tokens.asked.filter((one) => one.startsWith('GET ann'))).toEqual(tokens.asked)
    expect(new Set(tokens.asked).size).toBe(tokens.asked.length)
  })
  test('are given to anybody for what is public', async () => {
    await logout(registry.host)
    tokens.asked.length = 0
    expect(await pull(registry, 'public/app:1')).toBe(digest)
    expect(tokens.asked).toEqual(['GET nobody repository:public/app:pull'])
    await expect(pull(registry, 'private/other:1')).rejects.toThrow(unauthorized)
  })
  test('are given for a refresh token, as a login through a browser leaves one', async () => {
    tokens.refresh.add('refresh-1')
    await login(registry.host, { username: '', password: '', identityToken: 'refresh-1' })
    tokens.asked.length = 0
    expect(await push(registry, 'team/app:1')).toBe(digest)
    // The second one is for what is mounted from elsewhere.
    expect(tokens.asked).toEqual(['POST ann repository:team/app:pull,push', expect.stringMatching(/^POST ann repository:(private|public)\/app:pull repository:team\/app:pull,push$/)])
    await logout(registry.host)
  })
})

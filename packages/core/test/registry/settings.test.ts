import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { certificatesOf } from '../../src/registry/certificates.js'
import { endpointsFor, homeEndpoint } from '../../src/registry/endpoints.js'
import { proxyFor } from '../../src/registry/proxy.js'
import { registrySettings, type RegistrySettings } from '../../src/registry/settings.js'
import { parseToml } from '../../src/registry/toml.js'
import { isAmong } from '../../src/registry/hosts.js'

let etc: string
let home: string

beforeEach(() => {
  const directory = mkdtempSync(join(tmpdir(), 'mayfly-settings-'))
  etc = join(directory, 'etc')
  home = join(directory, 'home')
})
afterEach(() => rmSync(dirname(etc), { recursive: true }))

function write(path: string, content: string | object): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content))
}

function settings(env: Record<string, string> = {}): RegistrySettings {
  return registrySettings({ HOME: home, ...env }, etc)
}

function origins(name: string, env: Record<string, string> = {}, digest?: string): string[] {
  const [registry = '', ...path] = name.split('/')
  return endpointsFor({ registry, repository: path.join('/'), digest }, settings(env)).map(({ origin, repository, insecure }) => `${origin}/${repository}${insecure ? ' insecure' : ''}`)
}

const hub = 'https://registry-1.docker.io/library/app'

describe('mirrors', () => {
  test('of MAYFLY_REGISTRY_MIRROR stand before Docker Hub, with or without a path, or instead of it', () => {
    expect(origins('docker.io/library/app', { MAYFLY_REGISTRY_MIRROR: 'http://127.0.0.1:5000' })).toEqual(['http://127.0.0.1:5000/library/app insecure', hub])
    expect(origins('docker.io/library/app', { MAYFLY_REGISTRY_MIRROR: 'http://127.0.0.1:5000, mirror.example ,off' })).toEqual(['http://127.0.0.1:5000/library/app insecure', 'https://mirror.example/library/app'])
    expect(origins('docker.io/library/app', { MAYFLY_REGISTRY_MIRROR: 'https://nexus.example/hub/' })).toEqual(['https://nexus.example/hub/library/app', hub])
    expect(() => origins('docker.io/library/app', { MAYFLY_REGISTRY_MIRROR: 'off' })).toThrow(expect.objectContaining({ code: 'ERR_MAYFLY_OPTION_INVALID' }))
    expect(() => origins('docker.io/library/app', { MAYFLY_REGISTRY_MIRROR: 'ftp://x' })).toThrow('MAYFLY_REGISTRY_MIRROR is not a list of http or https URLs')
    expect(origins('quay.io/app', { MAYFLY_REGISTRY_MIRROR: 'http://127.0.0.1:5000,off' })).toEqual(['https://quay.io/app'])
  })
  test('of Docker\'s daemon.json are for Docker Hub, unless the environment names some', () => {
    write(join(etc, 'docker/daemon.json'), { 'registry-mirrors': ['https://mirror.example/'] })
    expect(origins('docker.io/library/app')).toEqual(['https://mirror.example/library/app', hub])
    expect(origins('docker.io/library/app', { MAYFLY_REGISTRY_MIRROR: 'own.example' })).toEqual(['https://own.example/library/app', hub])
    expect(origins('quay.io/app')).toEqual(['https://quay.io/app'])
    write(join(home, '.config/docker/daemon.json'), { 'registry-mirrors': [] })
    expect(origins('docker.io/library/app')).toEqual([hub])
  })
  test('of registries.conf are for what their prefix says, the longest counts', () => {
    write(join(etc, 'containers/registries.conf'), `
      unqualified-search-registries = ["docker.io"]
      [[registry]]
      prefix = "quay.io"
      location = "quay.io"
      [[registry.mirror]]
      location = "mirror.example:5000/quay"
      [[registry.mirror]]
      location = "10.0.0.1:5000"
      insecure = true
      pull-from-mirror = "digest-only"
      [[registry]]
      location = "quay.io/team"
    `)
    expect(origins('quay.io/some/app')).toEqual(['https://mirror.example:5000/quay/some/app', 'https://quay.io/some/app'])
    expect(origins('quay.io/some/app', {}, 'sha256:0')).toEqual(['https://mirror.example:5000/quay/some/app', 'https://10.0.0.1:5000/some/app insecure', 'https://quay.io/some/app'])
    expect(origins('quay.io/team/app')).toEqual(['https://quay.io/team/app'])
    expect(origins('quay.io/teams/app')).toHaveLength(2)
  })
})

describe('registries.conf', () => {
  test('moves, trusts and blocks registries', () => {
    write(join(etc, 'containers/registries.conf.d/50-own.conf'), `
      [[registry]]
      prefix = "*.example.com"
      location = "harbor.example.net/all"
      [[registry]]
      location = "old.example.org"
      insecure = true
      [[registry]]
      location = "evil.example.org"
      blocked = true
    `)
    expect(origins('a.b.example.com/x/app')).toEqual(['https://harbor.example.net/all/x/app'])
    expect(origins('example.com/app')).toEqual(['https://example.com/app'])
    expect(origins('old.example.org/app')).toEqual(['https://old.example.org/app insecure'])
    expect(() => origins('evil.example.org/app')).toThrow(expect.objectContaining({ code: 'ERR_MAYFLY_REGISTRY_UNAVAILABLE', message: expect.stringContaining('blocked by') as string }))
  })
  test('of the user, or a named one, stands for the machine\'s; parts with the same name too', () => {
    write(join(etc, 'containers/registries.conf'), '[[registry]]\nlocation = "a.example"\nblocked = true\n')
    write(join(etc, 'containers/registries.conf.d/x.conf'), '[[registry]]\nlocation = "b.example"\nblocked = true\n')
    expect(() => origins('a.example/app')).toThrow('blocked')
    expect(() => origins('b.example/app')).toThrow('blocked')
    write(join(home, '.config/containers/registries.conf'), '')
    write(join(home, '.config/containers/registries.conf.d/x.conf'), '')
    expect([...origins('a.example/app'), ...origins('b.example/app')]).toEqual(['https://a.example/app', 'https://b.example/app'])
    write(join(home, 'named.conf'), '[[registry]]\nlocation = "c.example"\nblocked = true\n')
    expect(() => origins('c.example/app', { CONTAINERS_REGISTRIES_CONF: join(home, 'named.conf') })).toThrow('blocked')
  })
  test('or daemon.json that cannot be understood is told, with its line', () => {
    write(join(etc, 'containers/registries.conf'), '[[registry]]\nlocation = evil\n')
    expect(() => settings()).toThrow(expect.objectContaining({ code: 'ERR_MAYFLY_CONFIG_INVALID', message: `${join(etc, 'containers/registries.conf')} cannot be understood: line 2: a value is missing` }))
    write(join(etc, 'containers/registries.conf'), '')
    write(join(etc, 'docker/daemon.json'), '[]')
    expect(() => settings()).toThrow('daemon.json cannot be understood: it is no object')
  })
  test('is TOML', () => {
    expect(parseToml(`
      a.b = 1_000 # a comment
      "q.r" = 'li\\teral' \t
      [t]
      list = [ "x", # one
        "y\\u00e9\\n", ]
      inline = { a = true, "b" = [false, {}] }
      long = """
two
lines \\
   joined"""
      [[t.many]]
      n = 1
      [t.many.below]
      z = ""
      [[t.many]]
      n = -2
    `)).toEqual({
      a: { b: 1000 }, 'q.r': 'li\\teral',
      t: { list: ['x', 'yé\n'], inline: { a: true, b: [false, {}] }, long: 'two\nlines joined', many: [{ n: 1, below: { z: '' } }, { n: -2 }] },
    })
    for (const [wrong, why] of [['a = 1\na = 2', 'line 2: a is given twice'], ['a = [1', 'line 1: a list has no end'], ['a = 1 b = 2', 'line 1: more than one value'], ['[x', '] is missing'], ['a = 1\n[a]', 'a is no table'], ['= 1', 'a name is missing']] as const) {
      expect(() => parseToml(wrong)).toThrow(why)
    }
    expect(({} as Record<string, unknown>)['polluted']).toBe((parseToml('[__proto__]\npolluted = 1'), undefined))
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
  })
})

test('insecure registries are named by host, suffix or network; loopback always is one', () => {
  write(join(etc, 'docker/daemon.json'), { 'insecure-registries': ['10.1.0.0/16', 'http://reg.example:5000', 'fd00::/8'] })
  const insecure = (host: string, env: Record<string, string> = {}): boolean => homeEndpoint({ registry: host, repository: 'x' }, settings(env)).insecure
  expect(['10.1.2.3:5000', 'reg.example:5000', '[fd00::1]:80', '127.0.0.1', 'localhost:5000', '[::1]:5000'].filter((host) => !insecure(host))).toEqual([])
  expect(['10.2.0.1', 'reg.example', 'reg.example:5001', 'x.reg.example:5000', '127.0.0.1.example:5000', 'localhost.example'].filter((host) => insecure(host))).toEqual([])
  expect(insecure('a.b.test:5000', { MAYFLY_INSECURE_REGISTRIES: 'other, *.b.test' })).toBe(true)
  expect(isAmong('b.test', ['*.b.test'])).toBe(false)
  expect(homeEndpoint({ registry: '127.0.0.1:5000', repository: '' }, settings()).origin).toBe('http://127.0.0.1:5000')
})

describe('proxies', () => {
  const through = (url: string, env: Record<string, string>): string | undefined => proxyFor(new URL(url), settings(env).proxies)?.href
  test('are for http or https, never for loopback', () => {
    const env = { HTTPS_PROXY: 'http://secure.proxy:3128', http_proxy: 'plain.proxy:80' }
    expect(through('https://quay.io', env)).toBe('http://secure.proxy:3128/')
    expect(through('http://quay.io', env)).toBe('http://plain.proxy/')
    for (const host of ['127.0.0.1:5000', 'localhost', '[::1]:1']) expect(through(`http://${host}`, env)).toBeUndefined()
  })
  test.each([
    ['*', 'https://quay.io', false], ['quay.io', 'https://quay.io', false], ['quay.io', 'https://cdn.quay.io', false], ['quay.io', 'https://notquay.io', true],
    ['.quay.io', 'https://quay.io', true], ['.quay.io', 'https://cdn.quay.io', false], ['*.quay.io', 'https://cdn.quay.io', false], ['QUAY.io', 'https://quay.io', false],
    ['quay.io:443', 'https://quay.io', false], ['quay.io:8443', 'https://quay.io', true], ['10.0.0.0/8', 'https://10.2.3.4:5000', false], ['10.0.0.0/8', 'https://11.2.3.4', true],
    ['fd00::/8', 'https://[fd12::1]', false], ['192.0.2.1', 'https://192.0.2.1', false], ['a.example, quay.io', 'https://quay.io', false], ['10.0.0.0/99', 'https://10.2.3.4', true],
  ])('NO_PROXY=%s and %s', (none, url, proxied) => {
    expect(through(url, { https_proxy: 'http://p', NO_PROXY: none })).toBe(proxied ? 'http://p/' : undefined)
  })
  test('of daemon.json count when the environment has none', () => {
    write(join(etc, 'docker/daemon.json'), { proxies: { 'https-proxy': 'http://daemon.proxy', 'no-proxy': 'quay.io' } })
    expect(through('https://ghcr.io', {})).toBe('http://daemon.proxy/')
    expect(through('https://quay.io', {})).toBeUndefined()
    expect(through('https://quay.io', { HTTPS_PROXY: 'http://own' })).toBe('http://own/')
  })
})

test('certificates of a host are collected from Docker\'s and containers\' directories', () => {
  write(join(etc, 'docker/certs.d/reg.example:5000/ca.crt'), 'docker')
  write(join(etc, 'containers/certs.d/reg.example:5000/ca.crt'), 'containers')
  write(join(home, '.docker/certs.d/reg.example:5000/own.crt'), 'user')
  write(join(home, '.docker/certs.d/reg.example:5000/client.cert'), 'cert')
  write(join(home, '.docker/certs.d/reg.example:5000/client.key'), 'key')
  write(join(home, '.docker/certs.d/half.example/client.cert'), 'cert')
  expect(certificatesOf('reg.example:5000', { HOME: home }, etc)).toEqual({ authorities: ['user', 'containers', 'docker'], client: { cert: 'cert', key: 'key' } })
  expect(certificatesOf('reg.example', { HOME: home }, etc)).toBeUndefined()
  expect(() => certificatesOf('half.example', { HOME: home }, etc)).toThrow('client.cert cannot be used: client.key is missing beside it')
})

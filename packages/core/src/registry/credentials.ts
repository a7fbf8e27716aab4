import { readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'

import { askHelper } from './helper.js'
import type { Environment } from './settings.js'

export interface Credentials {
  readonly username: string
  readonly password: string
  /** An OAuth2 refresh token, used instead of the password. */
  readonly identityToken?: string
  /** A token for the registry itself, sent as it is. */
  readonly registryToken?: string
}

/** Docker's own name of Docker Hub in its files and helpers. */
export const HUB_KEY = 'https://index.docker.io/v1/'
const HUB_HOSTS = new Set(['docker.io', 'index.docker.io', 'registry-1.docker.io'])

/** A file that names registries and what opens them. */
export interface AuthFile {
  readonly path: string
  readonly content: Readonly<Record<string, unknown>>
}

/**
 * The credentials for a repository of a registry host: DOCKER_AUTH_CONFIG first, then Docker's `config.json`
 * ($DOCKER_CONFIG, ~/.docker), then containers' `auth.json` (REGISTRY_AUTH_FILE, XDG_RUNTIME_DIR, ~/.config). In each a
 * helper for the host comes before its entry, and that before the helper for all. `undefined` when there are none, or the
 * files cannot be read. Throws ERR_MAYFLY_REGISTRY_UNAUTHORIZED when a helper fails.
 * [docker-credential-helpers protocol; containers-auth.json(5)]
 */
export async function credentialsFor(host: string, repository = '', env: Environment = process.env): Promise<Credentials | undefined> {
  const inline = env['DOCKER_AUTH_CONFIG']
  const files = [
    ...(inline === undefined ? [] : [{ path: 'DOCKER_AUTH_CONFIG', content: parse(inline) }]),
    ...(await Promise.all(authPaths(env).map(readAuthFile))).filter(file => file !== undefined),
  ]
  for (const { content } of files) {
    const found = await search(content, host, repository, env)
    if (found !== undefined) return found
  }
  return undefined
}

/** Docker's configuration file, where `login` writes. */
export function dockerConfigPath(env: Environment = process.env): string {
  return join(env['DOCKER_CONFIG'] ?? join(env['HOME'] ?? homedir(), '.docker'), 'config.json')
}

function authPaths(env: Environment): readonly string[] {
  const own = env['REGISTRY_AUTH_FILE']
  if (own !== undefined && own !== '') return [own, dockerConfigPath(env)]
  const runtime = env['XDG_RUNTIME_DIR']
  const config = env['XDG_CONFIG_HOME'] ?? join(env['HOME'] ?? homedir(), '.config')
  return [
    dockerConfigPath(env),
    ...(runtime === undefined || runtime === '' ? [] : [join(runtime, 'containers/auth.json')]),
    join(config, 'containers/auth.json'),
  ]
}

export async function readAuthFile(path: string): Promise<AuthFile | undefined> {
  const text = await readFile(path, 'utf8').catch(() => undefined)
  return text === undefined ? undefined : { path, content: parse(text) }
}

/** Names under which a file may know a repository, the closest first. */
function keysFor(host: string, repository: string): readonly string[] {
  const parts = repository.split('/').filter(part => part !== '')
  const hosts = HUB_HOSTS.has(host) ? [...HUB_HOSTS] : [host]
  const depths = parts.map((_, at) => parts.slice(0, parts.length - at).join('/'))
  return [...depths.flatMap(depth => hosts.map(name => `${name}/${depth}`)), ...hosts]
}

async function search(config: Readonly<Record<string, unknown>>, host: string, repository: string, env: Environment): Promise<Credentials | undefined> {
  const key = HUB_HOSTS.has(host) ? HUB_KEY : host
  const helpers = field(config, 'credHelpers')
  const own = text(helpers, host) ?? text(helpers, key)
  if (own !== undefined) return await askHelper(own, key, env)
  const auths = field(config, 'auths')
  const entries = new Map(typeof auths === 'object' && auths !== null
    ? Object.entries(auths).map(([name, entry]) => [name.replace(/^https?:\/\//, '').replace(/\/(v[12]\/?)?$/, ''), entry as unknown] as const) : [])
  for (const name of keysFor(host, repository)) {
    const found = entries.has(name) ? fromEntry(entries.get(name)) : undefined
    if (found !== undefined) return found
  }
  const store = text(config, 'credsStore')
  return store === undefined ? undefined : await askHelper(store, key, env)
}

function fromEntry(entry: unknown): Credentials | undefined {
  const token = text(entry, 'identitytoken')
  const auth = Buffer.from(text(entry, 'auth') ?? '', 'base64').toString('utf8').replace(/\0+$/, '')
  const colon = auth.indexOf(':')
  const username = colon < 0 ? text(entry, 'username') : auth.slice(0, colon)
  const password = colon < 0 ? text(entry, 'password') : auth.slice(colon + 1)
  const ready = text(entry, 'registrytoken')
  if (ready !== undefined) return { username: username ?? '', password: password ?? '', registryToken: ready }
  if (token !== undefined) return { username: username ?? '', password: password ?? '', identityToken: token }
  return username === undefined || password === undefined ? undefined : { username, password }
}

function parse(json: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(json)
    return typeof value === 'object' && value !== null ? value as Record<string, unknown> : {}
  } catch {
    return {}
  }
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined
}

function text(value: unknown, name: string): string | undefined {
  const found = field(value, name)
  return typeof found === 'string' && found !== '' ? found : undefined
}

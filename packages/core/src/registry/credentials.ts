import { readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'

export interface Credentials {
  readonly username: string
  readonly password: string
  /** An OAuth2 refresh token, used instead of the password. */
  readonly identityToken?: string
}

type Environment = Readonly<Record<string, string | undefined>>

/**
 * The credentials for a registry host: DOCKER_AUTH_CONFIG first, then `config.json` of $DOCKER_CONFIG or
 * ~/.docker. `undefined` when there are none, or the files cannot be read.
 */
export async function credentialsFor(host: string, env: Environment = process.env): Promise<Credentials | undefined> {
  const inline = env['DOCKER_AUTH_CONFIG']
  const fromInline = inline === undefined ? undefined : search(parse(inline), host)
  if (fromInline !== undefined) return fromInline
  const directory = env['DOCKER_CONFIG'] ?? join(env['HOME'] ?? homedir(), '.docker')
  const text = await readFile(join(directory, 'config.json'), 'utf8').catch(() => undefined)
  return text === undefined ? undefined : search(parse(text), host)
}

const HUB_HOSTS = new Set(['docker.io', 'index.docker.io', 'registry-1.docker.io'])

function search(config: unknown, host: string): Credentials | undefined {
  const auths = field(config, 'auths')
  if (typeof auths !== 'object' || auths === null) return undefined
  const wanted = HUB_HOSTS.has(host) ? HUB_HOSTS : new Set([host])
  for (const [key, entry] of Object.entries(auths)) {
    const named = key.replace(/^https?:\/\//, '').replace(/\/.*$/, '')
    const found = wanted.has(named) ? fromEntry(entry) : undefined
    if (found !== undefined) return found
  }
  return undefined
}

function fromEntry(entry: unknown): Credentials | undefined {
  const token = text(entry, 'identitytoken')
  const auth = Buffer.from(text(entry, 'auth') ?? '', 'base64').toString('utf8').replace(/\0+$/, '')
  const colon = auth.indexOf(':')
  const username = colon < 0 ? text(entry, 'username') : auth.slice(0, colon)
  const password = colon < 0 ? text(entry, 'password') : auth.slice(colon + 1)
  if (token !== undefined) return { username: username ?? '', password: password ?? '', identityToken: token }
  return username === undefined || password === undefined ? undefined : { username, password }
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    return undefined
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

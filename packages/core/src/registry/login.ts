import { mkdir, rename, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'

import { checkCredentials, forgetAuthorizations } from './authentication.js'
import { dockerConfigPath, HUB_KEY, readAuthFile, type Credentials } from './credentials.js'
import { homeEndpoint } from './endpoints.js'
import { tellHelper } from './helper.js'
import type { Environment } from './settings.js'

export interface LoginResult {
  /** Where the credentials are kept. */
  readonly kept: { readonly file: string } | { readonly helper: string }
}

/**
 * Tries credentials at a registry and keeps them where Docker, podman and skopeo find them: with the helper that Docker's
 * config.json names, else in that file, mode 0600. Throws ERR_MAYFLY_REGISTRY_UNAUTHORIZED, ERR_MAYFLY_REGISTRY_UNAVAILABLE.
 */
export async function login(registry: string, credentials: Credentials, { signal, env = process.env }: { signal?: AbortSignal | undefined, env?: Environment } = {}): Promise<LoginResult> {
  // Not at a mirror: they are not what the credentials are for.
  await checkCredentials(homeEndpoint({ registry, repository: '' }), credentials, signal)
  forgetAuthorizations()
  const { path, content } = await config(env)
  const key = keyOf(registry)
  const helper = helperOf(content, registry)
  const auths = { ...content['auths'] as object | undefined }
  if (helper !== undefined) {
    await tellHelper(helper, key, credentials, env)
    // An empty entry tells Docker's commands that the helper knows.
    await write(path, { ...content, auths: { ...auths, [key]: {} } })
    return { kept: { helper } }
  }
  const entry = credentials.identityToken === undefined ? {} : { identitytoken: credentials.identityToken }
  const auth = Buffer.from(`${credentials.username}:${credentials.password}`).toString('base64')
  await write(path, { ...content, auths: { ...auths, [key]: { auth, ...entry } } })
  return { kept: { file: path } }
}

/** Forgets what `login` kept. Answers whether there was anything. */
export async function logout(registry: string, env: Environment = process.env): Promise<boolean> {
  const { path, content } = await config(env)
  const key = keyOf(registry)
  const helper = helperOf(content, registry)
  if (helper !== undefined) await tellHelper(helper, key, undefined, env)
  forgetAuthorizations()
  const auths = { ...content['auths'] as Record<string, unknown> | undefined }
  const known = [key, registry, `https://${registry}`].filter(name => Object.hasOwn(auths, name))
  for (const name of known) delete auths[name]
  if (known.length > 0) await write(path, { ...content, auths })
  return known.length > 0
}

function keyOf(registry: string): string {
  return registry === 'docker.io' ? HUB_KEY : registry
}

function helperOf(content: Readonly<Record<string, unknown>>, registry: string): string | undefined {
  const helpers = content['credHelpers'] as Readonly<Record<string, unknown>> | undefined
  const own = helpers?.[registry] ?? helpers?.[keyOf(registry)] ?? content['credsStore']
  return typeof own === 'string' && own !== '' ? own : undefined
}

async function config(env: Environment): Promise<{ path: string, content: Readonly<Record<string, unknown>> }> {
  const path = dockerConfigPath(env)
  return await readAuthFile(path) ?? { path, content: {} }
}

async function write(path: string, content: object): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const temporary = `${path}.${String(process.pid)}.tmp`
  await writeFile(temporary, `${JSON.stringify(content, undefined, '\t')}\n`, { mode: 0o600 })
  await rename(temporary, path)
}

import { MayflyError } from '../errors.js'
import { parseChallenges, type Challenge } from './challenge.js'
import { credentialsFor, type Credentials } from './credentials.js'
import type { Endpoint } from './endpoints.js'
import { isPrivate } from './hosts.js'
import { discard, readBody, request, type HttpRequest, type HttpResponse } from './http.js'
import { unauthorized } from './refusal.js'

const cache = new Map<string, { header: string, expires: number }>()

/**
 * Sends a request with the endpoint's authorization for `actions` (default pulling) in its repository. A 401 is answered once with a
 * fresh authorization; headers are cached by endpoint and repository until their token ends.
 */
export async function authorized(endpoint: Endpoint, url: string, given: HttpRequest, actions = 'pull'): Promise<HttpResponse> {
  const { repository } = endpoint
  const key = `${endpoint.origin} ${repository} ${actions}`
  // What a redirect or an upload's location names elsewhere is not this registry's to open.
  if (new URL(url).origin !== endpoint.origin) return await request(url, given)
  const options = { ...given, insecure: endpoint.insecure }
  const known = cache.get(key)
  const usable = known !== undefined && known.expires > Date.now() ? known.header : undefined
  const first = await request(url, withHeader(options, usable))
  if (first.status !== 401) return first
  await discard(first)
  cache.delete(key)
  const credentials = await credentialsFor(endpoint.host, repository)
  const granted = await answer(endpoint, `repository:${repository}:${actions}`, parseChallenges(first.headers['www-authenticate']), credentials, options)
  if (granted === undefined) throw unauthorized(endpoint, repository, credentials)
  cache.set(key, granted)
  const second = await request(url, withHeader(options, granted.header))
  if (second.status === 401 || second.status === 403) {
    await discard(second)
    cache.delete(key)
    throw unauthorized(endpoint, repository, credentials)
  }
  return second
}

/** Tries credentials at a registry. Throws ERR_MAYFLY_REGISTRY_UNAUTHORIZED when they do not open it. */
export async function checkCredentials(endpoint: Endpoint, credentials: Credentials, signal?: AbortSignal): Promise<void> {
  const url = `${endpoint.origin}/v2/`
  const options = { headers: {}, signal, insecure: endpoint.insecure }
  const first = await request(url, options)
  await discard(first)
  // A registry that asks nobody takes everybody.
  if (first.status === 200) return
  const granted = await answer(endpoint, '', parseChallenges(first.headers['www-authenticate']), credentials, options)
  if (granted === undefined) throw notAccepted(endpoint)
  const second = await request(url, withHeader(options, granted.header))
  await discard(second)
  if (second.status !== 200) throw notAccepted(endpoint)
}

function notAccepted({ host }: Endpoint): MayflyError {
  return new MayflyError('ERR_MAYFLY_REGISTRY_UNAUTHORIZED', `${host} does not accept this user name and password`, {
    hint: 'Some registries want an access token instead of the account\'s password.', details: { registry: host },
  })
}

async function answer(
  endpoint: Endpoint, scope: string, challenges: readonly Challenge[], credentials: Credentials | undefined, options: HttpRequest,
): Promise<{ header: string, expires: number } | undefined> {
  const bearer = challenges.find(({ scheme }) => scheme === 'bearer')
  if (bearer !== undefined) return fetchToken(endpoint, scope, bearer, credentials, options)
  const basic = challenges.some(({ scheme }) => scheme === 'basic')
  return basic && credentials !== undefined ? { header: basicHeader(credentials), expires: Number.POSITIVE_INFINITY } : undefined
}

async function fetchToken(
  endpoint: Endpoint, wanted: string, { parameters }: Challenge, credentials: Credentials | undefined, options: HttpRequest,
): Promise<{ header: string, expires: number } | undefined> {
  const realm = checkedRealm(endpoint, parameters.get('realm'))
  const query = new URLSearchParams()
  const service = parameters.get('service')
  if (service !== undefined) query.set('service', service)
  const scopes = parameters.get('scope') ?? wanted
  // Several are separated by spaces, and asked for one by one. [Token authentication specification]
  for (const scope of scopes.split(' ')) if (scope !== '') query.append('scope', scope)
  const response = await request(...tokenRequest(realm, query, credentials, { ...options, insecure: endpoint.insecure && realm.hostname === new URL(endpoint.origin).hostname }))
  const body = await readBody(response, 1 << 20, 'The token answer')
  const token = response.status === 200 ? readToken(body) : undefined
  if (token === undefined) return undefined
  return { header: `Bearer ${token.value}`, expires: Date.now() + Math.max(token.seconds - 5, 5) * 1000 }
}

function tokenRequest(
  realm: URL, query: URLSearchParams, credentials: Credentials | undefined, { signal, insecure = false }: HttpRequest,
): [string, HttpRequest] {
  if (credentials?.identityToken !== undefined) {
    query.set('grant_type', 'refresh_token')
    query.set('client_id', 'mayfly')
    query.set('refresh_token', credentials.identityToken)
    const headers = { 'content-type': 'application/x-www-form-urlencoded' }
    return [realm.href, { method: 'POST', headers, body: query.toString(), signal, insecure }]
  }
  for (const [name, value] of query) realm.searchParams.append(name, value)
  const headers: Record<string, string> = credentials === undefined ? {} : { authorization: basicHeader(credentials) }
  return [realm.href, { headers, signal, insecure }]
}

function checkedRealm(endpoint: Endpoint, realm: string | undefined): URL {
  const origin = new URL(endpoint.origin)
  if (realm !== undefined && URL.canParse(realm)) {
    const url = new URL(realm)
    const secure = url.protocol === 'https:' || (url.protocol === 'http:' && (origin.protocol === 'http:' || endpoint.insecure))
    if (secure && (endpoint.insecure || !isPrivate(url.hostname) || isPrivate(origin.hostname))) return url
  }
  throw new MayflyError('ERR_MAYFLY_REGISTRY_UNAVAILABLE', `${endpoint.host} names no usable token server`, {
    hint: 'The realm of its Bearer challenge must be an https URL that is not a private address.',
  })
}

function readToken(body: Buffer): { value: string, seconds: number } | undefined {
  try {
    const json = JSON.parse(body.toString('utf8')) as { token?: unknown, access_token?: unknown, expires_in?: unknown }
    const value = json.token ?? json.access_token
    const seconds = typeof json.expires_in === 'number' ? json.expires_in : 60
    return typeof value === 'string' && /^[\x21-\x7e]+$/.test(value) ? { value, seconds } : undefined
  } catch {
    return undefined
  }
}

function basicHeader({ username, password }: Credentials): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}

function withHeader(options: HttpRequest, authorization: string | undefined): HttpRequest {
  return authorization === undefined ? options : { ...options, headers: { ...options.headers, authorization } }
}

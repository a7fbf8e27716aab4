import { MayflyError } from '../errors.js'
import { parseChallenges, type Challenge } from './challenge.js'
import { credentialsFor, type Credentials } from './credentials.js'
import type { Endpoint } from './endpoints.js'
import { isPrivate } from './hosts.js'
import { discard, readBody, request, unlessAborted, type HttpRequest, type HttpResponse } from './http.js'
import { unauthorized } from './refusal.js'

interface Grant {
  readonly header: string
  /** What was asked for. */
  readonly scopes: readonly string[]
  /** In milliseconds of the epoch. */
  readonly expires: number
}

const cache = new Map<string, Grant>()
const underWay = new Map<string, Promise<Grant>>()

/**
 * Sends a request with the endpoint's authorization for `actions` (default pulling) in its repository. A 401 is answered once with a
 * fresh authorization, which requests at the same time share; it is kept by endpoint and repository until its token ends.
 */
export async function authorized(endpoint: Endpoint, url: string, given: HttpRequest, actions = 'pull'): Promise<HttpResponse> {
  const { repository } = endpoint
  // What a redirect or an upload's location names elsewhere is not this registry's to open.
  if (new URL(url).origin !== endpoint.origin) return await request(url, given)
  const options = { ...given, insecure: endpoint.insecure }
  const key = `${endpoint.origin} ${repository} ${actions}`
  const known = cache.get(key)
  const usable = known !== undefined && known.expires > Date.now() ? known : undefined
  const first = await request(url, withHeader(options, usable?.header))
  if (first.status !== 401) return first
  await discard(first)
  if (cache.get(key) === known) cache.delete(key)
  const challenges = parseChallenges(first.headers['www-authenticate'])
  const scopes = scopesOf(challenges, `repository:${repository}:${actions}`)
  // What another request was given meanwhile is as good, unless this one wants more.
  const meanwhile = cache.get(key)
  const granted = meanwhile !== undefined && scopes.every((scope) => meanwhile.scopes.includes(scope)) ? meanwhile
    : await unlessAborted(underWay.get(`${key} ${scopes.join(' ')}`) ?? authorize(endpoint, key, scopes, challenges), given.signal)
  const second = await request(url, withHeader(options, granted.header))
  if (second.status === 401 || second.status === 403) {
    await discard(second)
    if (cache.get(key) === granted) cache.delete(key)
    throw unauthorized(endpoint, repository, await credentialsFor(endpoint.host, repository))
  }
  return second
}

/** Nobody's signal stops what others wait for, too. */
function authorize(endpoint: Endpoint, key: string, scopes: readonly string[], challenges: readonly Challenge[]): Promise<Grant> {
  const fetching = (async () => {
    const credentials = await credentialsFor(endpoint.host, endpoint.repository)
    const granted = await answer(endpoint, scopes, challenges, credentials, { headers: {} })
    if (granted === undefined) throw unauthorized(endpoint, endpoint.repository, credentials)
    cache.set(key, granted)
    return granted
  })().finally(() => underWay.delete(`${key} ${scopes.join(' ')}`))
  underWay.set(`${key} ${scopes.join(' ')}`, fetching)
  fetching.catch(() => undefined)
  return fetching
}

/**
 * What to ask a token for: what the challenge names, in an order of our own, for registries shuffle it. The request at hand may need less
 * than the next ones of a push, which shall find theirs granted. [Token scope documentation]
 */
function scopesOf(challenges: readonly Challenge[], wanted: string): string[] {
  const named = challenges.find(({ scheme }) => scheme === 'bearer')?.parameters.get('scope') ?? wanted
  const scopes = named.split(' ').filter((scope) => scope !== '').map((scope) => {
    const colon = scope.lastIndexOf(':')
    const sorted = `${scope.slice(0, colon)}:${scope.slice(colon + 1).split(',').sort().join()}`
    return wanted.startsWith(`${sorted},`) ? wanted : sorted
  })
  return [...new Set(scopes)].sort()
}

/** After a login or logout others are who we were. */
export function forgetAuthorizations(): void {
  cache.clear()
}

/** Tries credentials at a registry. Throws ERR_MAYFLY_REGISTRY_UNAUTHORIZED when they do not open it. */
export async function checkCredentials(endpoint: Endpoint, credentials: Credentials, signal?: AbortSignal): Promise<void> {
  const url = `${endpoint.origin}/v2/`
  const options = { headers: {}, signal, insecure: endpoint.insecure }
  const first = await request(url, options)
  await discard(first)
  // A registry that asks nobody takes everybody.
  if (first.status === 200) return
  const granted = await answer(endpoint, [], parseChallenges(first.headers['www-authenticate']), credentials, options)
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
  endpoint: Endpoint, scopes: readonly string[], challenges: readonly Challenge[], credentials: Credentials | undefined, options: HttpRequest,
): Promise<Grant | undefined> {
  const bearer = challenges.find(({ scheme }) => scheme === 'bearer')
  const ready = credentials?.registryToken
  if (bearer !== undefined && ready !== undefined) return { header: `Bearer ${ready}`, scopes, expires: Number.POSITIVE_INFINITY }
  if (bearer !== undefined) return fetchToken(endpoint, scopes, bearer, credentials, options)
  const basic = challenges.some(({ scheme }) => scheme === 'basic')
  return basic && credentials !== undefined ? { header: basicHeader(credentials), scopes, expires: Number.POSITIVE_INFINITY } : undefined
}

async function fetchToken(
  endpoint: Endpoint, scopes: readonly string[], { parameters }: Challenge, credentials: Credentials | undefined, options: HttpRequest,
): Promise<Grant | undefined> {
  const realm = checkedRealm(endpoint, parameters.get('realm'))
  const query = new URLSearchParams()
  const service = parameters.get('service')
  if (service !== undefined) query.set('service', service)
  // One by one, for a repeated parameter. [Token authentication specification]
  for (const scope of scopes) query.append('scope', scope)
  const response = await request(...tokenRequest(realm, query, credentials, { ...options, insecure: endpoint.insecure && realm.hostname === new URL(endpoint.origin).hostname }))
  const body = await readBody(response, 1 << 20, 'The token answer')
  const token = response.status === 200 ? readToken(body) : undefined
  if (token === undefined) return undefined
  return { header: `Bearer ${token.value}`, scopes, expires: Date.now() + Math.max(token.seconds - 5, 5) * 1000 }
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

export function checkedRealm(endpoint: Endpoint, realm: string | undefined): URL {
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

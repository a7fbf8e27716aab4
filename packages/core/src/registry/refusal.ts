import { MayflyError } from '../errors.js'
import type { Reference } from '../reference.js'
import type { Credentials } from './credentials.js'
import type { Endpoint } from './endpoints.js'
import { retryAfter, type HttpResponse } from './http.js'

const SHOWN_TAGS = 8

/** What a registry has instead of the tag that was asked for; `undefined` when it would not say. */
export type Tags = readonly string[] | 'no repository' | undefined

/** Why one place did not give what was asked of it. */
export interface Failure {
  readonly endpoint: Endpoint
  readonly error: MayflyError
}

/** The error for an answer other than success. `tags` is only needed for 404. */
export function refusal(endpoint: Endpoint, reference: Reference, { status, headers }: Pick<HttpResponse, 'status' | 'headers'>, tags: Tags): MayflyError {
  if (status === 404) return notFound(endpoint, reference, tags)
  if (status === 401 || status === 403) return unauthorized(endpoint, reference.repository)
  const limit = status === 429 ? rateLimit(headers) : ''
  return new MayflyError('ERR_MAYFLY_REGISTRY_UNAVAILABLE', `${endpoint.host} answered ${status} for ${reference.repository}${limit}`, {
    hint: status === 429 ? 'The registry limits the rate of pulls: log in, wait, or set MAYFLY_REGISTRY_MIRROR.' : 'Try again later.',
    details: { status },
  })
}

/** As Docker Hub tells it: `ratelimit-limit: 100;w=21600` is 100 in six hours. */
function rateLimit(headers: HttpResponse['headers']): string {
  const [, limit, seconds] = /^(\d+)(?:;w=(\d+))?/.exec(String(headers['ratelimit-limit'] ?? '')) ?? []
  const wait = retryAfter(headers['retry-after'])
  const parts = [
    ...(limit === undefined ? [] : [`${limit} pulls${seconds === undefined ? '' : ` in ${String(Math.round(Number(seconds) / 360) / 10)} h`} are allowed`]),
    ...(wait === undefined ? [] : [`again in ${String(Math.ceil(wait / 1000))} s`]),
  ]
  return parts.length === 0 ? '' : `: ${parts.join(', ')}`
}

/** Registries answer the same for what is private and for what does not exist. */
export function unauthorized(endpoint: Endpoint, repository: string, credentials?: Credentials): MayflyError {
  const tried = credentials === undefined ? 'without credentials' : 'with the configured credentials'
  return new MayflyError('ERR_MAYFLY_REGISTRY_UNAUTHORIZED', `${endpoint.host} refused to serve ${repository} ${tried}: it is private, or there is none`, {
    hint: `Check the name; if the repository is private, log in with "mayfly login ${endpoint.host}" or set DOCKER_AUTH_CONFIG.`,
    details: { registry: endpoint.host, repository },
  })
}

/**
 * One error for all places asked. The registry itself knows best; where only mirrors were asked, "not found" is
 * believed when all of them say so. The message tells what each of them answered.
 */
export function summary(reference: Reference, failures: readonly Failure[]): MayflyError {
  const telling = failures.find(({ endpoint }) => !endpoint.mirror)
    ?? failures.find(({ error }) => error.code !== 'ERR_MAYFLY_IMAGE_NOT_FOUND') ?? failures[0]
  if (telling === undefined) throw new MayflyError('ERR_MAYFLY_INTERNAL', `No place to ask for ${reference}`)
  if (failures.length === 1) return telling.error
  const { code, hint, details } = telling.error
  const asked = failures.map(({ endpoint, error }) => ({ registry: endpoint.host, code: error.code }))
  return new MayflyError(code, `Cannot pull ${reference.familiar}: ${failures.map(({ error }) => error.message).join('; ')}`, {
    hint, details: { ...details, asked }, cause: telling.error,
  })
}

function notFound(endpoint: Endpoint, { repository, tag = 'latest', digest }: Reference, tags: Tags): MayflyError {
  const details = { registry: endpoint.host, repository, ...(digest === undefined ? { tag } : { digest }) }
  if (tags === 'no repository') {
    return new MayflyError('ERR_MAYFLY_IMAGE_NOT_FOUND', `${endpoint.host} has no image ${repository}`, {
      hint: 'Check the name for typing errors.', details,
    })
  }
  const version = digest === undefined ? `tag "${tag}"` : `digest ${digest}`
  return new MayflyError('ERR_MAYFLY_IMAGE_NOT_FOUND', `${endpoint.host} has no image ${repository} with ${version}`, {
    hint: tags === undefined || tags.length === 0 ? 'Check the name and the tag for typing errors.' : `It has ${listed(tags, tag)}.`, details,
  })
}

/** Those that begin most like the wanted one come first. */
function listed(tags: readonly string[], wanted: string): string {
  const likeness = (tag: string): number => {
    let same = 0
    while (same < tag.length && tag[same] === wanted[same]) same += 1
    return same
  }
  const ranked = [...tags].sort((a, b) => likeness(b) - likeness(a) || (a < b ? -1 : 1))
  const shown = ranked.slice(0, SHOWN_TAGS).map((tag) => `"${tag}"`).join(', ')
  return ranked.length > SHOWN_TAGS ? `${shown} and ${ranked.length - SHOWN_TAGS} more tags` : `the tags ${shown}`
}

import { isMayflyError, type MayflyError } from '../errors.js'
import type { Reference } from '../reference.js'
import { authorized } from './authentication.js'
import { endpointsFor, type Endpoint } from './endpoints.js'
import { discard, readBody, throwIfAborted, unavailable, type HttpRequest, type HttpResponse } from './http.js'
import { refusal, summary, type Failure, type Tags } from './refusal.js'
import { isTransient } from './trouble.js'

/** No document of a registry is larger, in bytes. */
export const JSON_LIMIT = 4 * 2 ** 20

/** A place's name among those that are asked for one thing. */
export type Place = `${string} ${string}`

export function placeOf({ origin, repository }: Endpoint): Place {
  return `${origin} ${repository}`
}

export interface Question extends HttpRequest {
  /** Asked after the others. */
  readonly last?: ReadonlySet<Place>
  /** Not asked any more. */
  readonly wrong?: ReadonlyMap<Place, Failure>
}

/**
 * The first answer that `use` can make something of, mirrors before the registry itself. Of one that had something else than what
 * was asked for, a warning tells. Throws one error for all of them: ERR_MAYFLY_IMAGE_NOT_FOUND, …_REGISTRY_UNAVAILABLE,
 * …_REGISTRY_UNAUTHORIZED, what `use` throws, or ERR_MAYFLY_ABORTED.
 */
export async function askPlaces<T>(
  reference: Reference, path: string, question: Question, use: (response: HttpResponse, endpoint: Endpoint) => Promise<T>,
): Promise<T> {
  const { last = new Set(), wrong = new Map<Place, Failure>() } = question
  const failures: Failure[] = []
  const left = endpointsFor(reference).filter((endpoint) => !wrong.has(placeOf(endpoint)))
  for (const endpoint of left.sort((a, b) => Number(last.has(placeOf(a))) - Number(last.has(placeOf(b))))) {
    try {
      const answer = await ask(endpoint, reference, path, question, use)
      for (const failure of failures) if (isWrong(failure.error)) warnOfWrong(reference, [failure.endpoint], failure.error)
      return answer
    } catch (error) {
      throwIfAborted(question.signal)
      failures.push({ endpoint, error: isMayflyError(error) ? error : unavailable(endpoint.origin, error) })
    }
  }
  throw summary(reference, [...wrong.values(), ...failures])
}

async function ask<T>(
  endpoint: Endpoint, reference: Reference, path: string, question: Question, use: (response: HttpResponse, endpoint: Endpoint) => Promise<T>, again = true,
): Promise<T> {
  const response = await authorized(endpoint, urlOf(endpoint, path), question)
  if (response.status === 200 || response.status === 206) {
    try {
      return await use(response, endpoint)
    } catch (error) {
      // A document that breaks off, as a connection does before it.
      if (!again || question.signal?.aborted === true || !isTransient(error)) throw error
      return await ask(endpoint, reference, path, question, use, false)
    }
  }
  await discard(response)
  const tags = response.status === 404 && question.method !== 'HEAD' && path.startsWith('manifests/') && !path.includes(':')
    ? await knownTags(endpoint, question.signal) : undefined
  throw refusal(endpoint, reference, response, tags)
}

const told = new Set<string>()

/** Who lacks something or does not answer is passed over silently; who gives something else should be looked at, and is told of once. */
export function warnOfWrong(reference: Reference, endpoints: readonly Endpoint[], { message }: MayflyError): void {
  const hosts = endpoints.map(({ host }) => host).join(', then ')
  if (told.has(`${hosts} ${message}`)) return
  told.add(`${hosts} ${message}`)
  process.emitWarning(`What ${hosts} gave for ${reference.familiar} is asked of others: ${message}`, { type: 'MayflyWarning', code: 'MAYFLY_REGISTRY_WRONG' })
}

function isWrong({ code }: MayflyError): boolean {
  return code === 'ERR_MAYFLY_DIGEST_MISMATCH' || code === 'ERR_MAYFLY_MANIFEST_INVALID'
}

/** Only for a better message: whatever goes wrong here is not worth telling. */
async function knownTags(endpoint: Endpoint, signal: AbortSignal | undefined): Promise<Tags> {
  try {
    const url = urlOf(endpoint, 'tags/list?n=1000')
    const response = await authorized(endpoint, url, { headers: {}, signal })
    const body = await readBody(response, JSON_LIMIT, 'The list of tags')
    if (response.status === 404) return 'no repository'
    const { tags } = JSON.parse(body.toString('utf8')) as { tags?: unknown }
    return Array.isArray(tags) ? tags.filter((tag) => typeof tag === 'string').map((tag) => tag.slice(0, 128)) : undefined
  } catch {
    return undefined
  }
}

function urlOf({ origin, repository }: Endpoint, path: string): string {
  return `${origin}/v2/${repository}/${path}`
}

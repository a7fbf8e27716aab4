import { digestOf, isDigest, type Digest } from '../digest.js'
import { isMayflyError, MayflyError } from '../errors.js'
import type { Reference } from '../reference.js'
import { authorized } from './authentication.js'
import { endpointsFor, type Endpoint } from './endpoints.js'
import { discard, pause, readBody, throwIfAborted, unavailable, type HttpRequest, type HttpResponse } from './http.js'
import { MANIFEST_TYPES, parseManifest, type Descriptor } from './manifest.js'
import { refusal, summary, type Failure, type Tags } from './refusal.js'

const JSON_LIMIT = 4 * 2 ** 20
const RESUMES = 4
const PROGRESS = 2 ** 20

export interface FetchedManifest {
  readonly digest: Digest
  readonly bytes: Buffer
  /** The origin that served it. */
  readonly origin: string
}

/**
 * The exact bytes of a manifest, by the reference's digest or else its tag, or of `digest` in its repository.
 * Mirrors are asked first. Throws ERR_MAYFLY_IMAGE_NOT_FOUND, …_REGISTRY_UNAVAILABLE, …_REGISTRY_UNAUTHORIZED,
 * …_DIGEST_MISMATCH, …_MANIFEST_INVALID or …_ABORTED.
 */
export async function fetchManifest(reference: Reference, options: { digest?: Digest, signal?: AbortSignal | undefined } = {}): Promise<FetchedManifest> {
  const digest = options.digest ?? reference.digest
  const path = `manifests/${digest ?? reference.tag ?? 'latest'}`
  const headers = { accept: MANIFEST_TYPES.join(', ') }
  return fromAnyEndpoint(reference, path, { headers, signal: options.signal }, async (response, endpoint) => {
    const bytes = await readBody(response, JSON_LIMIT, `The manifest of ${reference}`)
    const actual = digestOf(bytes)
    const wanted = digest ?? namedDigest(response) ?? actual
    if (actual !== wanted) throw mismatch(`The manifest of ${reference}`, wanted, actual)
    checkContentType(response, bytes, reference)
    return { digest: actual, bytes, origin: endpoint.origin }
  })
}

/** What a tag means now, when a registry says so without sending it. Docker Hub does not count this. */
export async function fetchDigest(reference: Reference, signal?: AbortSignal): Promise<Digest | undefined> {
  const path = `manifests/${reference.digest ?? reference.tag ?? 'latest'}`
  const headers = { accept: MANIFEST_TYPES.join(', ') }
  return fromAnyEndpoint(reference, path, { method: 'HEAD', headers, signal }, async (response) => {
    await discard(response)
    return namedDigest(response)
  })
}

/** A small blob (an image config), verified. */
export async function fetchSmallBlob(reference: Reference, wanted: Descriptor, signal?: AbortSignal): Promise<Buffer> {
  return fromAnyEndpoint(reference, `blobs/${wanted.digest}`, { headers: {}, signal }, async (response) => {
    const bytes = await readBody(response, JSON_LIMIT, `The config of ${reference}`)
    const actual = digestOf(bytes)
    if (actual !== wanted.digest) throw mismatch(`The config of ${reference}`, wanted.digest, actual)
    return bytes
  })
}

/**
 * The bytes of a blob as they arrive, resumed where they stopped when the connection breaks: at the same place once, then at the
 * next mirror. The length is checked against the descriptor; the digest is the caller's to check.
 */
export async function* fetchBlob(reference: Reference, wanted: Descriptor, signal?: AbortSignal): AsyncGenerator<Buffer, void, void> {
  let done = 0
  const broken = new Set<Endpoint['origin']>()
  for (let attempt = 0; ; attempt += 1) {
    const from = done
    let at: string | undefined
    try {
      const headers: Record<string, string> = from === 0 ? {} : { range: `bytes=${from}-` }
      const response = await fromAnyEndpoint(reference, `blobs/${wanted.digest}`, { headers, signal }, (r, { origin }) => {
        at = origin
        return Promise.resolve(r)
      }, broken)
      let skip = response.status === 206 ? checkRange(response, from) : from
      for await (const chunk of response.body as AsyncIterable<Buffer>) {
        const fresh = skip === 0 ? chunk : chunk.subarray(Math.min(skip, chunk.length))
        skip -= chunk.length - fresh.length
        done += fresh.length
        if (done > wanted.size) throw wrongLength(reference, wanted, `more than ${wanted.size}`)
        if (fresh.length > 0) yield fresh
      }
      if (done === wanted.size) return
      if (attempt >= RESUMES) throw wrongLength(reference, wanted, String(done))
    } catch (error) {
      throwIfAborted(signal)
      if (isMayflyError(error)) throw error
      if (attempt >= RESUMES) throw unavailable(endpointsFor(reference)[0]?.origin ?? '', error)
    }
    // What gets on is not given up.
    if (done - from >= PROGRESS) attempt = -1
    else await pause(attempt, signal)
    if (attempt > 0 && at !== undefined) broken.add(at)
  }
}

async function fromAnyEndpoint<T>(
  reference: Reference, path: string, options: HttpRequest, use: (response: HttpResponse, endpoint: Endpoint) => Promise<T>,
  last: ReadonlySet<Endpoint['origin']> = new Set(),
): Promise<T> {
  const failures: Failure[] = []
  for (const endpoint of endpointsFor(reference).sort((a, b) => Number(last.has(a.origin)) - Number(last.has(b.origin)))) {
    try {
      const response = await authorized(endpoint, urlOf(endpoint, path), options)
      if (response.status === 200 || response.status === 206) return await use(response, endpoint)
      await discard(response)
      const tags = response.status === 404 && options.method !== 'HEAD' && path.startsWith('manifests/') && !path.includes(':')
        ? await knownTags(endpoint, options.signal) : undefined
      throw refusal(endpoint, reference, response, tags)
    } catch (error) {
      throwIfAborted(options.signal)
      failures.push({ endpoint, error: isMayflyError(error) ? error : unavailable(endpoint.origin, error) })
    }
  }
  throw summary(reference, failures)
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

function namedDigest({ headers }: HttpResponse): Digest | undefined {
  const named = headers['docker-content-digest']
  return isDigest(named) ? named : undefined
}

/** What the registry calls one thing and the content another would be read by every client in its own way (CVE-2021-41190). */
function checkContentType({ headers }: HttpResponse, bytes: Buffer, reference: Reference): void {
  const type = String(headers['content-type'] ?? '').replace(/;.*/, '').trim()
  if (!MANIFEST_TYPES.includes(type)) return
  const { kind } = parseManifest(bytes, reference.familiar)
  if (kind === (/index|list/.test(type) ? 'index' : 'image')) return
  throw new MayflyError('ERR_MAYFLY_MANIFEST_INVALID', `The manifest of ${reference.familiar} cannot be used: the registry calls it ${type}, which it is not`)
}

function checkRange({ headers }: HttpResponse, from: number): number {
  const range = headers['content-range']
  if (typeof range === 'string' && range.startsWith(`bytes ${from}-`)) return 0
  throw new MayflyError('ERR_MAYFLY_REGISTRY_UNAVAILABLE', 'The registry answered with another range than the one asked for')
}

function wrongLength(reference: Reference, wanted: Descriptor, actual: string): MayflyError {
  return new MayflyError('ERR_MAYFLY_DIGEST_MISMATCH', `A layer of ${reference} has ${actual} bytes instead of ${wanted.size}`, {
    details: { digest: wanted.digest },
  })
}

function mismatch(what: string, wanted: Digest, actual: Digest): MayflyError {
  return new MayflyError('ERR_MAYFLY_DIGEST_MISMATCH', `${what} has the digest ${actual} instead of ${wanted}`, {
    hint: 'The registry or something between altered it. Nothing was kept.',
    details: { wanted, actual },
  })
}

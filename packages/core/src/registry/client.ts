import { digestOf, type Digest } from '../digest.js'
import { isMayflyError, MayflyError } from '../errors.js'
import type { Reference } from '../reference.js'
import { authorized, unauthorized } from './authentication.js'
import { endpointsFor, type Endpoint } from './endpoints.js'
import { discard, readBody, throwIfAborted, unavailable, type HttpRequest, type HttpResponse } from './http.js'
import { MANIFEST_TYPES, type Descriptor } from './manifest.js'

const JSON_LIMIT = 4 * 2 ** 20
const RESUMES = 4

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
    if (digest !== undefined && actual !== digest) throw mismatch(`The manifest of ${reference}`, digest, actual)
    return { digest: actual, bytes, origin: endpoint.origin }
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
 * The bytes of a blob as they arrive, resumed where they stopped when the connection breaks. The length is checked
 * against the descriptor; the digest is the caller's to check.
 */
export async function* fetchBlob(reference: Reference, wanted: Descriptor, signal?: AbortSignal): AsyncGenerator<Buffer, void, void> {
  let done = 0
  for (let attempt = 0; ; attempt += 1) {
    const from = done
    try {
      const headers: Record<string, string> = from === 0 ? {} : { range: `bytes=${from}-` }
      const response = await fromAnyEndpoint(reference, `blobs/${wanted.digest}`, { headers, signal }, (r) => Promise.resolve(r))
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
      if (attempt >= RESUMES) throw unavailable(endpointsFor(reference.registry)[0]?.origin ?? '', error)
    }
  }
}

async function fromAnyEndpoint<T>(
  reference: Reference, path: string, options: HttpRequest, use: (response: HttpResponse, endpoint: Endpoint) => Promise<T>,
): Promise<T> {
  const failures: { endpoint: Endpoint, error: MayflyError }[] = []
  for (const endpoint of endpointsFor(reference.registry)) {
    try {
      const url = `${endpoint.origin}/v2/${reference.repository}/${path}`
      const response = await authorized(endpoint, reference.repository, url, options)
      if (response.status === 200 || response.status === 206) return await use(response, endpoint)
      await discard(response)
      throw refusal(endpoint, reference, response.status)
    } catch (error) {
      throwIfAborted(options.signal)
      const known = isMayflyError(error) ? error : unavailable(endpoint.origin, error)
      if (!endpoint.mirror && failures.length === 0) throw known
      failures.push({ endpoint, error: known })
    }
  }
  throw summary(reference, failures)
}

/** What the mirror said is what the user can act on; that the registry behind it failed as well is added to it. */
function summary(reference: Reference, failures: readonly { endpoint: Endpoint, error: MayflyError }[]): MayflyError {
  const first = failures[0]
  if (first === undefined) throw new MayflyError('ERR_MAYFLY_INTERNAL', `No place to ask for ${reference}`)
  const telling = failures.find(({ error }) => error.code !== 'ERR_MAYFLY_REGISTRY_UNAVAILABLE') ?? first
  const others = failures.filter((failure) => failure !== telling)
    .map(({ endpoint, error }) => `${endpoint.host}: ${error.code.replace('ERR_MAYFLY_', '').toLowerCase().replaceAll('_', ' ')}`)
  const message = others.length === 0 ? telling.error.message : `${telling.error.message} (also asked ${others.join(', ')})`
  const { code, hint, details } = telling.error
  return new MayflyError(code, message, { hint, details, cause: telling.error })
}

function refusal(endpoint: Endpoint, reference: Reference, status: number): MayflyError {
  const { repository, tag, digest } = reference
  if (status === 404) {
    const version = digest !== undefined ? `digest ${digest}` : `tag "${tag ?? 'latest'}"`
    return new MayflyError('ERR_MAYFLY_IMAGE_NOT_FOUND', `${endpoint.host} has no image ${repository} with ${version}`, {
      hint: 'Check the name and the tag for typing errors.',
      details: { registry: endpoint.host, repository, tag, digest },
    })
  }
  if (status === 401 || status === 403) return unauthorized(endpoint, repository)
  const limited = status === 429
  return new MayflyError('ERR_MAYFLY_REGISTRY_UNAVAILABLE', `${endpoint.host} answered ${status} for ${repository}`, {
    hint: limited ? 'The registry limits the rate of pulls: log in, wait, or set MAYFLY_REGISTRY_MIRROR.' : 'Try again later.',
    details: { status },
  })
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

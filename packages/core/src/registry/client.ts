import { digestOf, isDigest, type Digest } from '../digest.js'
import { MayflyError } from '../errors.js'
import type { Reference } from '../reference.js'
import { discard, readBody, type HttpResponse } from './http.js'
import { MANIFEST_TYPES, parseManifest, type Descriptor, type ImageIndex, type ImageManifest } from './manifest.js'
import { askPlaces, JSON_LIMIT } from './places.js'

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
  return askPlaces(reference, path, { headers, signal: options.signal }, async (response, endpoint) => {
    const bytes = await readBody(response, JSON_LIMIT, `The manifest of ${reference}`)
    const actual = digestOf(bytes)
    const wanted = digest ?? namedDigest(response) ?? actual
    if (actual !== wanted) throw mismatch(`The manifest of ${reference}`, wanted, actual)
    // An answer that is no manifest, a page that wants a login for example, is no answer.
    checkContentType(response, parseManifest(bytes, reference.familiar), reference)
    return { digest: actual, bytes, origin: endpoint.origin }
  })
}

/** What a tag means now, when a registry says so without sending it. Docker Hub does not count this. */
export async function fetchDigest(reference: Reference, signal?: AbortSignal): Promise<Digest | undefined> {
  const path = `manifests/${reference.digest ?? reference.tag ?? 'latest'}`
  const headers = { accept: MANIFEST_TYPES.join(', ') }
  return askPlaces(reference, path, { method: 'HEAD', headers, signal }, async (response) => {
    await discard(response)
    return namedDigest(response)
  })
}

/** A small blob (an image config), verified. */
export async function fetchSmallBlob(reference: Reference, wanted: Descriptor, signal?: AbortSignal): Promise<Buffer> {
  return askPlaces(reference, `blobs/${wanted.digest}`, { headers: {}, signal }, async (response) => {
    const bytes = await readBody(response, JSON_LIMIT, `The config of ${reference}`)
    const actual = digestOf(bytes)
    if (actual !== wanted.digest) throw mismatch(`The config of ${reference}`, wanted.digest, actual)
    return bytes
  })
}

function namedDigest({ headers }: HttpResponse): Digest | undefined {
  const named = headers['docker-content-digest']
  return isDigest(named) ? named : undefined
}

/** What the registry calls one thing and the content another would be read by every client in its own way (CVE-2021-41190). */
function checkContentType({ headers }: HttpResponse, { kind }: ImageManifest | ImageIndex, { familiar }: Reference): void {
  const type = String(headers['content-type'] ?? '').replace(/;.*/, '').trim()
  if (!MANIFEST_TYPES.includes(type) || kind === (/index|list/.test(type) ? 'index' : 'image')) return
  throw new MayflyError('ERR_MAYFLY_MANIFEST_INVALID', `The manifest of ${familiar} cannot be used: the registry calls it ${type}, which it is not`)
}

function mismatch(what: string, wanted: Digest, actual: Digest): MayflyError {
  return new MayflyError('ERR_MAYFLY_DIGEST_MISMATCH', `${what} has the digest ${actual} instead of ${wanted}`, {
    hint: 'The registry or something between altered it. Nothing was kept.',
    details: { wanted, actual },
  })
}

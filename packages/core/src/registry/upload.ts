import { open } from 'node:fs/promises'

import { digestOf, isDigest, type Digest } from '../digest.js'
import { isMayflyError, MayflyError } from '../errors.js'
import type { Reference } from '../reference.js'
import { authorized } from './authentication.js'
import { homeEndpoint } from './endpoints.js'
import { discard, readBody, type HttpRequest, type HttpResponse } from './http.js'
import type { Descriptor } from './manifest.js'

/** Larger blobs go in parts, so that a broken connection costs one of them. */
const PART = 16 * 2 ** 20
const TRIES = 5

export interface UploadOptions {
  readonly signal?: AbortSignal | undefined
  readonly onBytes?: ((count: number) => void) | undefined
  /** Repositories of the same registry that may have the blob already. */
  readonly from?: readonly string[] | undefined
}

/** How a blob came to be at the registry. */
export type Uploaded = 'there' | 'mounted' | 'uploaded'

/** Brings a blob to the registry itself, never a mirror, unless it is there. [OCI distribution specification, "Pushing blobs"] */
export async function uploadBlob(reference: Reference, blob: Descriptor, file: string, options: UploadOptions = {}): Promise<Uploaded> {
  const { signal } = options
  const head = await ask(reference, `blobs/${blob.digest}`, { method: 'HEAD', headers: {}, signal })
  await discard(head)
  if (head.status === 200) return 'there'
  for (const repository of options.from ?? []) {
    const path = `blobs/uploads/?mount=${blob.digest}&from=${encodeURIComponent(homeEndpoint({ registry: reference.registry, repository }).repository)}`
    // Who may not read there may still write here.
    const answer = await ask(reference, path, { method: 'POST', headers: { 'content-length': '0' }, signal }).catch((error: unknown) => {
      if (isMayflyError(error) && error.code === 'ERR_MAYFLY_REGISTRY_UNAUTHORIZED') return undefined
      throw error
    })
    if (answer === undefined) continue
    await discard(answer)
    if (answer.status === 201) return 'mounted'
    // Not mounted, but an upload was begun, which will do.
    if (answer.status === 202) return await transfer(reference, blob, file, locationOf(reference, answer), options)
  }
  const begun = await ask(reference, 'blobs/uploads/', { method: 'POST', headers: { 'content-length': '0' }, signal })
  if (begun.status !== 202) throw await refused(reference, begun, 'a blob')
  await discard(begun)
  return await transfer(reference, blob, file, locationOf(reference, begun), options)
}

async function transfer(reference: Reference, blob: Descriptor, file: string, start: string, { signal, onBytes }: UploadOptions): Promise<Uploaded> {
  const handle = await open(file)
  let location = start
  try {
    let done = 0
    for (let attempt = 1; blob.size > PART && done < blob.size;) {
      const { buffer, bytesRead } = await handle.read(Buffer.allocUnsafe(Math.min(PART, blob.size - done)), 0, Math.min(PART, blob.size - done), done)
      const body = buffer.subarray(0, bytesRead)
      const headers = { 'content-type': 'application/octet-stream', 'content-range': `${String(done)}-${String(done + bytesRead - 1)}` }
      const answer = await send(reference, location, { method: 'PATCH', headers, body, signal }).catch((error: unknown) => {
        if (attempt >= TRIES || signal?.aborted === true) throw error
        return undefined
      })
      if (answer?.status === 202) {
        await discard(answer)
        location = locationOf(reference, answer)
        done += bytesRead
        onBytes?.(bytesRead)
        continue
      }
      // The registry has other bytes than we think: it says how many.
      if (answer !== undefined && answer.status !== 416) throw await refused(reference, answer, 'a part of a blob')
      if (answer !== undefined) await discard(answer)
      attempt += 1
      if (attempt > TRIES) throw new MayflyError('ERR_MAYFLY_REGISTRY_UNAVAILABLE', `The registry lost the upload of ${blob.digest} again and again`)
      const status = await send(reference, location, { headers: {}, signal })
      await discard(status)
      done = nextByte(status)
      location = status.headers.location === undefined ? location : locationOf(reference, status)
    }
    const rest = blob.size > PART ? Buffer.alloc(0) : await handle.readFile()
    const headers = { 'content-type': 'application/octet-stream', 'content-length': String(rest.length) }
    const closed = await send(reference, withDigest(location, blob.digest), { method: 'PUT', headers, body: rest, signal })
    if (closed.status !== 201) throw await refused(reference, closed, 'a blob')
    await discard(closed)
    onBytes?.(rest.length)
    return 'uploaded'
  } finally {
    await handle.close()
  }
}

/** Writes a manifest under the reference's tag, or its own digest. Throws ERR_MAYFLY_DIGEST_MISMATCH when the registry calls it something else. */
export async function uploadManifest(reference: Reference, bytes: Buffer, mediaType: string, name: string, signal?: AbortSignal): Promise<void> {
  const answer = await ask(reference, `manifests/${name}`, {
    method: 'PUT', headers: { 'content-type': mediaType, 'content-length': String(bytes.length) }, body: bytes, signal,
  })
  if (answer.status !== 201 && answer.status !== 202) throw await refused(reference, answer, 'the manifest')
  await discard(answer)
  const [called, actual] = [answer.headers['docker-content-digest'], digestOf(bytes)]
  if (!isDigest(called) || called === actual) return
  throw new MayflyError('ERR_MAYFLY_DIGEST_MISMATCH', `${homeEndpoint(reference).host} keeps another manifest of ${reference.familiar} than it was sent`, { details: { wanted: actual, actual: called } })
}

function ask(reference: Reference, path: string, options: HttpRequest): Promise<HttpResponse> {
  const { origin, repository } = homeEndpoint(reference)
  return send(reference, `${origin}/v2/${repository}/${path}`, options)
}

function send(reference: Reference, url: string, options: HttpRequest): Promise<HttpResponse> {
  return authorized(homeEndpoint(reference), url, options, 'pull,push')
}

/** Absolute or relative; another origin gets no credentials of this one. */
function locationOf(reference: Reference, { headers }: HttpResponse): string {
  const { origin } = homeEndpoint(reference)
  const { location } = headers
  if (location === undefined) throw new MayflyError('ERR_MAYFLY_REGISTRY_UNAVAILABLE', `The registry at ${origin} does not say where to upload to`)
  const url = new URL(location, origin)
  // Behind a proxy registries name themselves by http.
  if (url.host === new URL(origin).host) url.protocol = new URL(origin).protocol
  return url.href
}

function withDigest(location: string, digest: Digest): string {
  // As it came: some are signed.
  return `${location}${location.includes('?') ? '&' : '?'}digest=${encodeURIComponent(digest)}`
}

function nextByte({ headers }: HttpResponse): number {
  const [, last] = /^(?:bytes=)?0-(\d+)$/.exec(String(headers['range'] ?? '')) ?? []
  return last === undefined ? 0 : Number(last) + 1
}

async function refused(reference: Reference, answer: HttpResponse, what: string): Promise<MayflyError> {
  const body = await readBody(answer, 1 << 20, 'The answer').catch(() => Buffer.alloc(0))
  let why = ''
  try {
    const { errors } = JSON.parse(body.toString('utf8')) as { errors?: readonly { code?: string, message?: string }[] }
    why = (errors ?? []).map(({ code, message }) => [code, message].filter(Boolean).join(': ')).join('; ')
  } catch {
    // Not every server between us and the registry speaks JSON.
  }
  const denied = answer.status === 401 || answer.status === 403
  const host = homeEndpoint(reference).host
  return new MayflyError(denied ? 'ERR_MAYFLY_REGISTRY_UNAUTHORIZED' : 'ERR_MAYFLY_REGISTRY_UNAVAILABLE',
    `${host} did not take ${what} of ${reference.familiar}: ${String(answer.status)}${why === '' ? '' : `, ${why.slice(0, 300)}`}`, {
      hint: denied ? `Log in with an account that may write there: mayfly login ${host}` : answer.status === 405 ? 'The registry is read-only.' : undefined,
      details: { status: answer.status },
    })
}

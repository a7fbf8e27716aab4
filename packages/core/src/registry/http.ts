import type { IncomingHttpHeaders } from 'node:http'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Dispatcher } from 'undici'

import { MayflyError } from '../errors.js'
import { isLoopback, isPrivate } from './endpoints.js'

export interface HttpRequest {
  readonly method?: 'GET' | 'POST' | 'HEAD' | 'PUT' | 'PATCH'
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string | Buffer
  readonly signal?: AbortSignal | undefined
}

export interface HttpResponse {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Readable
}

const TRIES = 4
const STALL_MS = 30_000
const REDIRECTS = 10
/** Errors before an answer that a new attempt may cure; a refused connection or an unknown name is final. */
const TRANSIENT = new Set(['ECONNRESET', 'EPIPE', 'EAI_AGAIN', 'UND_ERR_SOCKET', 'UND_ERR_HEADERS_TIMEOUT'])

/**
 * One request with redirects followed and transient failures tried again. Credentials are dropped when a redirect
 * leaves the origin. Throws ERR_MAYFLY_REGISTRY_UNAVAILABLE or ERR_MAYFLY_ABORTED; any status is an answer.
 */
export async function request(url: string, options: HttpRequest): Promise<HttpResponse> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const response = await follow(url, options)
      const { status } = response
      if (attempt === TRIES || (status !== 408 && status !== 429 && status < 500)) return response
      await discard(response)
      await pause(attempt, response.headers['retry-after'], options.signal)
    } catch (error) {
      throwIfAborted(options.signal)
      if (error instanceof MayflyError) throw error
      if (attempt === TRIES || !TRANSIENT.has(codeOf(error))) throw unavailable(url, error)
      await pause(attempt, undefined, options.signal)
    }
  }
}

/** Reads a body of at most `limit` bytes. */
export async function readBody(response: HttpResponse, limit: number, what: string): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of response.body as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > limit) {
      response.body.destroy()
      throw new MayflyError('ERR_MAYFLY_MANIFEST_INVALID', `${what} is larger than ${limit} bytes`)
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** Gives the connection back without reading a long body. */
export async function discard(response: HttpResponse): Promise<void> {
  const body = response.body as Readable & { dump?: (options: { limit: number }) => Promise<void> }
  body.on('error', () => undefined)
  await body.dump?.({ limit: 65_536 }).catch(() => undefined)
}

export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted !== true) return
  throw new MayflyError('ERR_MAYFLY_ABORTED', 'The pull was aborted', { cause: signal.reason })
}

export function unavailable(url: string, cause: unknown): MayflyError {
  const { origin } = new URL(url)
  const why = codeOf(cause) || (cause instanceof Error ? cause.message : 'unknown error')
  return new MayflyError('ERR_MAYFLY_REGISTRY_UNAVAILABLE', `Cannot reach the registry at ${origin}: ${why}`, {
    cause,
    hint: 'Check the network and any proxy; MAYFLY_REGISTRY_MIRROR names a mirror to ask instead of Docker Hub.',
    details: { origin },
  })
}

async function follow(start: string, options: HttpRequest): Promise<HttpResponse> {
  let url = new URL(start)
  let headers = options.headers
  for (let hop = 0; hop <= REDIRECTS; hop += 1) {
    const response = await send(url, { ...options, headers })
    const { location } = response.headers
    if (![301, 302, 303, 307, 308].includes(response.status) || location === undefined) return response
    await discard(response)
    const next = new URL(location, url)
    checkRedirect(url, next)
    if (next.origin !== url.origin) headers = withoutCredentials(headers)
    url = next
  }
  throw new MayflyError('ERR_MAYFLY_REGISTRY_UNAVAILABLE', `The registry at ${new URL(start).origin} redirects without end`)
}

function checkRedirect(from: URL, to: URL): void {
  const downgrade = from.protocol === 'https:' && to.protocol !== 'https:'
  const inward = isPrivate(to.hostname) && !isPrivate(from.hostname)
  if (!downgrade && !inward && /^https?:$/.test(to.protocol)) return
  const why = inward ? 'to a private address' : 'to an insecure address'
  throw new MayflyError('ERR_MAYFLY_REGISTRY_UNAVAILABLE', `The registry at ${from.origin} redirects ${why}: ${to.origin}`)
}

function withoutCredentials(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => name !== 'authorization'))
}

async function send(url: URL, options: HttpRequest): Promise<HttpResponse> {
  const undici = await import('undici')
  const answer = await undici.request(url, {
    method: options.method ?? 'GET',
    headers: { 'user-agent': 'mayfly', ...options.headers },
    dispatcher: pool(undici, url),
    ...(options.body === undefined ? {} : { body: options.body }),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  })
  return { status: answer.statusCode, headers: answer.headers, body: answer.body }
}

let direct: Dispatcher | undefined
let proxied: Dispatcher | undefined

function pool(undici: typeof import('undici'), url: URL): Dispatcher {
  const settings = { headersTimeout: STALL_MS, bodyTimeout: STALL_MS, connect: { timeout: 10_000 } }
  if (isLoopback(url.hostname)) return direct ??= new undici.Agent(settings)
  return proxied ??= new undici.EnvHttpProxyAgent(settings)
}

async function pause(attempt: number, retryAfter: string | undefined, signal: AbortSignal | undefined): Promise<void> {
  const asked = retryAfter === undefined ? Number.NaN : secondsOf(retryAfter)
  const backoff = 100 * 2 ** attempt * (0.5 + Math.random())
  const wait = Number.isFinite(asked) ? Math.min(Math.max(asked * 1000, 0), 30_000) : backoff
  await sleep(wait, undefined, signal === undefined ? {} : { signal })
    .catch(() => { throwIfAborted(signal) })
}

function secondsOf(retryAfter: string): number {
  return /^\d+$/.test(retryAfter) ? Number(retryAfter) : (Date.parse(retryAfter) - Date.now()) / 1000
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
}

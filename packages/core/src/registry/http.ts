import type { IncomingHttpHeaders } from 'node:http'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'

import { isMayflyError, MayflyError } from '../errors.js'
import { directOptions, dispatcherFor, trustMore } from './connection.js'
import { getDirectly } from './direct.js'
import { isAmong, isPrivate } from './hosts.js'
import { registrySettings } from './settings.js'
import { isTransient, isUnknownIssuer, isWrongScheme, unavailable, wantsTls } from './trouble.js'
import { undiciParts } from './undici.js'

export { unavailable } from './trouble.js'

export interface HttpRequest {
  readonly method?: 'GET' | 'POST' | 'HEAD' | 'PUT' | 'PATCH'
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string | Buffer
  readonly signal?: AbortSignal | undefined
  /** Plain HTTP, or any certificate, will do for this URL's host. */
  readonly insecure?: boolean
  /** The answer is a large one, whose reader is done with a piece before it asks for the next. */
  readonly large?: boolean
}

export interface HttpResponse {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: AsyncIterable<Buffer> & { destroy(): unknown }
}

const TRIES = 4
const REDIRECTS = 10
/** What a registry may have us wait before another attempt, in milliseconds. */
const PATIENCE = 60_000

/**
 * One request with redirects followed and transient failures tried again. Credentials are dropped when a redirect
 * leaves the origin. Throws ERR_MAYFLY_REGISTRY_UNAVAILABLE or ERR_MAYFLY_ABORTED; any status is an answer.
 */
export async function request(url: string, options: HttpRequest): Promise<HttpResponse> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const response = await follow(url, options)
      const { status } = response
      const wait = retryAfter(response.headers['retry-after'])
      if (attempt === TRIES || (status !== 408 && status !== 429 && status < 500) || (wait ?? 0) > PATIENCE) return response
      await discard(response)
      await pause(attempt, options.signal, wait)
    } catch (error) {
      throwIfAborted(options.signal)
      if (isMayflyError(error)) throw error
      if (attempt === TRIES || !isTransient(error)) throw unavailable(asSpoken(new URL(url), options).href, error)
      await pause(attempt, options.signal)
    }
  }
}

/** Reads a body of at most `limit` bytes. */
export async function readBody(response: HttpResponse, limit: number, what: string): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of response.body) {
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
export async function discard({ body }: HttpResponse): Promise<void> {
  if (!(body instanceof Readable)) return void body.destroy()
  body.on('error', () => undefined)
  await (body as Readable & { dump?: (options: { limit: number }) => Promise<void> }).dump?.({ limit: 65_536 }).catch(() => undefined)
}

export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted !== true) return
  throw new MayflyError('ERR_MAYFLY_ABORTED', 'The pull was aborted', { cause: signal.reason })
}

/** A result, or ERR_MAYFLY_ABORTED as soon as the signal says so. */
export async function unlessAborted<T>(result: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await result
  const heard = new AbortController()
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => { reject(new MayflyError('ERR_MAYFLY_ABORTED', 'The pull was aborted', { cause: signal.reason })) }, { once: true, signal: heard.signal })
  })
  try {
    throwIfAborted(signal)
    return await Promise.race([result, aborted])
  } finally {
    heard.abort()
  }
}

async function follow(start: string, options: HttpRequest): Promise<HttpResponse> {
  let url = new URL(start)
  let { headers, insecure = false } = options
  for (let hop = 0; hop <= REDIRECTS; hop += 1) {
    const { response, asked } = await send(url, { ...options, headers, insecure })
    const { location } = response.headers
    if (![301, 302, 303, 307, 308].includes(response.status) || location === undefined) return response
    await discard(response)
    const next = new URL(location, asked)
    insecure = (insecure && next.hostname === asked.hostname) || isAmong(next.host, registrySettings().insecure)
    checkRedirect(asked, next, insecure)
    if (next.origin !== asked.origin) headers = withoutCredentials(headers)
    url = next
  }
  throw new MayflyError('ERR_MAYFLY_REGISTRY_UNAVAILABLE', `The registry at ${new URL(start).origin} redirects without end`)
}

function checkRedirect(from: URL, to: URL, insecure: boolean): void {
  const downgrade = from.protocol === 'https:' && to.protocol !== 'https:'
  const inward = isPrivate(to.hostname) && !isPrivate(from.hostname)
  if (/^https?:$/.test(to.protocol) && (insecure || (!downgrade && !inward))) return
  const why = inward ? 'to a private address' : 'to an insecure address'
  throw new MayflyError('ERR_MAYFLY_REGISTRY_UNAVAILABLE', `The registry at ${from.origin} redirects ${why}: ${to.origin}`, {
    hint: `If that is meant: MAYFLY_INSECURE_REGISTRIES=${to.host}`,
  })
}

function withoutCredentials(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => name !== 'authorization'))
}

/** What hosts speak that may be asked either way. */
const spoken = new Map<string, 'http:' | 'https:'>()

/** An answer, and whom it is from: a host that need not be secure is asked by the other of http and https when it does not speak the first. */
async function send(url: URL, options: HttpRequest): Promise<{ response: HttpResponse, asked: URL }> {
  const asked = asSpoken(url, options)
  if (options.insecure !== true || spoken.has(url.host)) return { response: await exchange(asked, options), asked }
  const other = withScheme(url, url.protocol === 'https:' ? 'http:' : 'https:')
  const learn = ({ protocol }: URL): void => void spoken.set(url.host, protocol === 'https:' ? 'https:' : 'http:')
  try {
    const response = await exchange(url, options)
    const answer = url.protocol === 'http:' && response.status === 400 ? await askedOfTls(url, options, response) : response
    learn(url)
    return { response: answer, asked: url }
  } catch (error) {
    if (options.signal?.aborted === true || !(error instanceof WantsTls || isWrongScheme(error))) throw error
    if (error instanceof WantsTls) learn(other)
    const response = await exchange(other, options).catch((second: unknown) => { throw error instanceof WantsTls ? second : error })
    learn(other)
    return { response, asked: other }
  }
}

function asSpoken(url: URL, { insecure }: HttpRequest): URL {
  const known = insecure === true ? spoken.get(url.host) : undefined
  return known === undefined ? url : withScheme(url, known)
}

class WantsTls extends Error {}

async function askedOfTls(url: URL, options: HttpRequest, response: HttpResponse): Promise<HttpResponse> {
  // The answer to HEAD has no words.
  const telling = options.method === 'HEAD' ? await exchange(new URL('/v2/', url), { headers: {}, signal: options.signal }) : response
  const body = await readBody(telling, 1 << 20, 'The answer')
  if (wantsTls(body.subarray(0, 4096).toString())) throw new WantsTls()
  return telling === response ? { ...response, body: Readable.from([body]) } : response
}

function withScheme(url: URL, scheme: 'http:' | 'https:'): URL {
  const other = new URL(url)
  other.protocol = scheme
  return other
}

async function exchange(url: URL, options: HttpRequest): Promise<HttpResponse> {
  const ask = async (): Promise<HttpResponse> => (options.large === true ? await askDirectly(url, options) : undefined) ?? await askByPool(url, options)
  return await ask().catch((error: unknown) => {
    if (isUnknownIssuer(error) && trustMore(url)) return ask()
    throw error
  })
}

async function askDirectly(url: URL, { headers, signal, insecure = false }: HttpRequest): Promise<HttpResponse | undefined> {
  const way = directOptions(url, insecure)
  return way === undefined ? undefined : await getDirectly(url, { ...way, headers: { 'user-agent': 'mayfly', ...headers }, signal })
}

async function askByPool(url: URL, options: HttpRequest): Promise<HttpResponse> {
  const { request: requestBy } = await undiciParts()
  const answer = await requestBy(await dispatcherFor(url, options.insecure === true), {
    origin: url.origin,
    path: `${url.pathname}${url.search}`,
    method: options.method ?? 'GET',
    headers: { 'user-agent': 'mayfly', ...options.headers },
    ...(options.body === undefined ? {} : { body: options.body }),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  })
  return { status: answer.statusCode, headers: answer.headers, body: answer.body }
}

/** Waits before another attempt: longer each time, never as long as others do. */
export async function pause(attempt: number, signal: AbortSignal | undefined, asked?: number): Promise<void> {
  const wait = asked ?? 100 * 2 ** attempt * (0.5 + Math.random())
  await sleep(wait, undefined, signal === undefined ? {} : { signal })
    .catch(() => { throwIfAborted(signal) })
}

/** In milliseconds. [RFC 9110, 10.2.3] */
export function retryAfter(header: string | undefined): number | undefined {
  if (header === undefined) return undefined
  const wait = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now()
  return Number.isFinite(wait) ? Math.max(wait, 0) : undefined
}

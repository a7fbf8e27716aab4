import { createHash, createHmac } from 'node:crypto'
import { MayflyError } from '../../errors.js'

export interface S3Access {
  readonly accessKey: string
  readonly secretKey: string
  readonly region: string
}

export interface S3Request {
  readonly method: 'GET' | 'PUT' | 'DELETE'
  /** `/`, `/bucket` or `/bucket/key`, as they are called. */
  readonly path: string
  readonly query?: Readonly<Record<string, string>>
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

/** Asks a store with Amazon's interface, and answers its words. Throws ERR_MAYFLY_RESET_FAILED. */
export async function askS3(base: string, access: S3Access, request: S3Request): Promise<string> {
  const { method, path, query = {}, body = '' } = request
  const url = new URL(`${escaped(path)}${Object.keys(query).length === 0 ? '' : `?${queryOf(query)}`}`, base)
  const { host: _, ...headers } = signed(access, { ...request, headers: { ...request.headers, host: url.host } }, new Date())
  let said: string
  try {
    const answer = await fetch(url, { method, headers, signal: AbortSignal.timeout(LONGEST), ...(body === '' ? {} : { body }) })
    said = await answer.text()
    // A copy that fails half-way has begun with success. [CopyObject]
    if (answer.ok && !said.includes('<Error>')) return said
    said = `${String(answer.status)} ${valueIn(said, 'Code')} ${valueIn(said, 'Message')}`.trim()
  } catch (error) {
    said = String((error as Error).cause ?? error)
  }
  throw new MayflyError('ERR_MAYFLY_RESET_FAILED', `A service's state could not be kept or brought back: ${method} ${path}: ${said}`)
}

const LONGEST = 120_000

/** The request's headers with its signature. [Signature Version 4, in the Authorization header] */
export function signed({ accessKey, secretKey, region }: S3Access, { method, path, query = {}, headers = {}, body = '' }: S3Request, now: Date): Record<string, string> {
  const time = now.toISOString().replace(/[-:]|\.\d+/g, '')
  const day = time.slice(0, 8)
  const all: Record<string, string> = { ...headers, 'x-amz-content-sha256': sha256(body), 'x-amz-date': time }
  const names = Object.keys(all).sort()
  const canonical = [method, escaped(path), queryOf(query), ...names.map(name => `${name}:${(all[name] ?? '').trim()}`), '', names.join(';'), sha256(body)].join('\n')
  const scope = `${day}/${region}/s3/aws4_request`
  const key = [day, region, 's3', 'aws4_request'].reduce<string | Buffer>((secret, part) => hmac(secret, part), `AWS4${secretKey}`)
  const signature = hmac(key, ['AWS4-HMAC-SHA256', time, scope, sha256(canonical)].join('\n')).toString('hex')
  return { ...all, authorization: `AWS4-HMAC-SHA256 Credential=${accessKey}/${scope},SignedHeaders=${names.join(';')},Signature=${signature}` }
}

/** The text of the first element called so; empty without one. */
export function valueIn(xml: string, name: string): string {
  return elementsIn(xml, name)[0]?.replace(/&(amp|lt|gt|quot|apos|#x?[0-9a-fA-F]+);/g, (_, entity: string) => ENTITIES[entity] ?? characterOf(entity)) ?? ''
}

/** The contents of all elements called so. */
export function elementsIn(xml: string, name: string): readonly string[] {
  return [...xml.matchAll(new RegExp(`<${name}(?:\\s[^>]*)?>([^]*?)</${name}>`, 'g'))].map(([, content = '']) => content)
}

const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: '\'' }

function characterOf(entity: string): string {
  return String.fromCodePoint(entity.startsWith('#x') ? parseInt(entity.slice(2), 16) : Number(entity.slice(1)))
}

/** A path as it is sent, and signed. */
export function escaped(path: string): string {
  return path.split('/').map(strict).join('/')
}

function queryOf(query: Readonly<Record<string, string>>): string {
  return Object.entries(query).map(([key, value]) => `${strict(key)}=${strict(value)}`).sort().join('&')
}

function strict(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, character => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}

import type { IncomingHttpHeaders } from 'node:http'
import { connect as connectPlainly, isIP, type NetConnectOpts, type Socket } from 'node:net'
import { connect as connectByTls, type ConnectionOptions } from 'node:tls'

import { hostnameOf } from './hosts.js'
import type { HttpResponse } from './http.js'

/** What is read at once. Pieces of 64 KiB take twice the processor time, larger ones no less. */
const PIECE = 256 * 1024
/** Room that is not worth another read: what a record of TLS has at most. */
const LITTLE = 16 * 1024
/** Full buffers that wait for their reader before the connection has to. */
const AHEAD = 3
/** No head of an answer is longer, in bytes; undici's limit. */
const HEAD = 16 * 1024

export interface DirectOptions {
  readonly headers: Readonly<Record<string, string>>
  readonly signal?: AbortSignal | undefined
  /** Milliseconds until a connection has to stand. */
  readonly connectTimeout: number
  /** Milliseconds of silence that end it. */
  readonly stall: number
  /** For https. */
  readonly tls: Pick<ConnectionOptions, 'secureContext' | 'rejectUnauthorized'>
}

/**
 * The answer to a GET on a connection of its own, whose body goes from the kernel into buffers that are used again and again: a fifth of
 * the processor time that a general client takes, most of which is copying and collecting. A piece of the body is the reader's until it asks for the
 * next one. `undefined` for an answer that is not a plain one of known length: then somebody else has to ask. Of other answers than 200 and
 * 206 there is no body. Throws as undici does. [RFC 9112]
 */
export async function getDirectly(url: URL, options: DirectOptions): Promise<HttpResponse | undefined> {
  // What is wrong with a header, who checks them says.
  if (unusual.has(url.origin) || Object.values(options.headers).some((value) => /[^\t\x20-\x7e]/.test(value))) return undefined
  const headers = Object.entries({ host: url.host, connection: 'close', ...options.headers }).map(([name, value]) => `${name}: ${value}\r\n`)
  const answer = new Answer(options)
  answer.open(url, `GET ${url.pathname}${url.search} HTTP/1.1\r\n${headers.join('')}\r\n`)
  const head = await answer.head
  if (head !== undefined) return { ...head, body: answer }
  unusual.add(url.origin)
  return undefined
}

/** Who is not asked again in vain. */
const unusual = new Set<string>()

interface Head {
  readonly status: number
  readonly headers: IncomingHttpHeaders
}

interface Piece {
  readonly buffer: Buffer
  readonly from: number
  readonly to: number
  /** Nothing more comes into its buffer. */
  readonly last: boolean
}

class Answer implements AsyncIterable<Buffer> {
  readonly head: Promise<Head | undefined>
  readonly #options: DirectOptions
  #answered: (head: Head | undefined) => void = () => undefined
  #refused: (error: unknown) => void = () => undefined
  #socket: Socket | undefined
  /** Bytes of the body still to come; none is known before the head. */
  #left: number | undefined
  #trouble: unknown
  #buffer: Buffer = Buffer.allocUnsafeSlow(PIECE)
  #filled = 0
  /** Of those, what is in pieces already. */
  #given = 0
  readonly #free: Buffer[] = []
  readonly #ready: Piece[] = []
  #held: Piece | undefined
  #paused = false
  #wake: () => void = () => undefined

  constructor(options: DirectOptions) {
    this.#options = options
    this.head = new Promise((resolve, reject) => {
      this.#answered = resolve
      this.#refused = reject
    })
  }

  open(url: URL, question: string): void {
    const { connectTimeout, stall, tls, signal } = this.#options
    if (signal?.aborted === true) return void this.#fail(signal.reason)
    const host = hostnameOf(url.hostname)
    const onread = { buffer: () => this.#room(), callback: (count: number) => this.#take(count) }
    const address = { host, port: Number(url.port) || (url.protocol === 'https:' ? 443 : 80), onread }
    const secure = url.protocol === 'https:'
    const socket = secure
      ? connectByTls({ ...address, ...tls, servername: isIP(host) === 0 ? host : '', ALPNProtocols: ['http/1.1'] } as ConnectionOptions)
      : connectPlainly(address as NetConnectOpts)
    this.#socket = socket
    const slow = setTimeout(() => { this.#fail(failure('UND_ERR_CONNECT_TIMEOUT', 'no connection in time')) }, connectTimeout)
    const abort = (): void => { this.#fail(signal?.reason) }
    signal?.addEventListener('abort', abort, { once: true })
    socket.once(secure ? 'secureConnect' : 'connect', () => {
      clearTimeout(slow)
      socket.setTimeout(stall)
      socket.write(question, 'latin1')
    })
    socket.on('timeout', () => {
      // Who waits for the reader has not fallen silent.
      if (this.#paused) socket.setTimeout(stall)
      else this.#fail(failure(this.#left === undefined ? 'UND_ERR_HEADERS_TIMEOUT' : 'UND_ERR_BODY_TIMEOUT', 'silence'))
    })
    socket.once('error', (error) => { this.#fail(error) })
    socket.once('close', () => {
      clearTimeout(slow)
      signal?.removeEventListener('abort', abort)
      if (this.#left !== 0) this.#fail(failure('UND_ERR_SOCKET', 'other side closed'))
    })
  }

  destroy(): void {
    this.#left ??= 0
    this.#socket?.destroy()
    this.#wake()
  }

  async* [Symbol.asyncIterator](): AsyncGenerator<Buffer, void, void> {
    try {
      for (;;) {
        const piece = this.#next()
        if (piece !== undefined) yield piece.buffer.subarray(piece.from, piece.to)
        else if (this.#left === 0) return
        else if (this.#trouble !== undefined) throw this.#trouble
        else await new Promise<void>((resolve) => { this.#wake = resolve })
      }
    } finally {
      this.destroy()
    }
  }

  /** Where the next bytes go. */
  #room(): Buffer {
    if (PIECE - this.#filled < LITTLE) {
      this.#ready.push({ buffer: this.#buffer, from: this.#given, to: this.#filled, last: true })
      this.#buffer = this.#free.pop() ?? Buffer.allocUnsafeSlow(PIECE)
      this.#filled = this.#given = 0
    }
    return this.#buffer.subarray(this.#filled)
  }

  /** Whether there may be more. */
  #take(count: number): boolean {
    const before = this.#filled
    this.#filled += count
    if (this.#left === undefined) this.#readHead(Math.max(before - 3, 0))
    else this.#count(before)
    this.#wake()
    this.#paused = this.#ready.length >= AHEAD
    return !this.#paused
  }

  #readHead(from: number): void {
    const end = this.#buffer.subarray(0, this.#filled).indexOf('\r\n\r\n', from)
    if (end < 0 && this.#filled < HEAD) return
    const head = end < 0 ? undefined : parseHead(this.#buffer.toString('latin1', 0, end))
    const length = head === undefined ? undefined : lengthOf(head)
    this.#left = length ?? 0
    this.#given = end + 4
    this.#count(this.#given)
    this.#answered(length === undefined ? undefined : head)
  }

  #count(from: number): void {
    // What comes behind the body is nobody's.
    this.#filled = Math.min(this.#filled, from + (this.#left ?? 0))
    this.#left = (this.#left ?? 0) - (this.#filled - from)
    if (this.#left === 0) this.#socket?.destroy()
  }

  #next(): Piece | undefined {
    if (this.#held?.last === true) this.#free.push(this.#held.buffer)
    this.#held = this.#ready.shift()
    if (this.#held === undefined && this.#filled > this.#given) {
      this.#held = { buffer: this.#buffer, from: this.#given, to: this.#filled, last: false }
      this.#given = this.#filled
    }
    if (this.#paused && this.#ready.length < AHEAD && this.#socket?.destroyed === false) {
      this.#paused = false
      this.#socket.resume()
    }
    return this.#held
  }

  #fail(error: unknown): void {
    this.#trouble ??= error
    this.#refused(this.#trouble)
    this.#socket?.destroy()
    this.#wake()
  }
}

/** Of an answer that says nothing unusual. [RFC 9112, 4 and 5] */
function parseHead(text: string): Head | undefined {
  const [first = '', ...fields] = text.split('\r\n')
  const status = Number(/^HTTP\/1\.[01] ([2-5]\d\d)(?: |$)/.exec(first)?.[1])
  if (Number.isNaN(status)) return undefined
  const headers: Record<string, string | string[]> = {}
  for (const field of fields) {
    const [, name, value = ''] = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/.exec(field) ?? []
    if (name === undefined) return undefined
    const key = name.toLowerCase()
    const before = Object.hasOwn(headers, key) ? headers[key] : undefined
    headers[key] = before === undefined ? value : [before, value].flat()
  }
  return { status, headers }
}

/** Of a body as it is; 0 where nobody reads one, `undefined` where it has another form. */
function lengthOf({ status, headers }: Head): number | undefined {
  // In its words, a server of https may say that it is one.
  if (status === 400) return undefined
  if (status !== 200 && status !== 206) return 0
  const length = headers['content-length']
  if (headers['transfer-encoding'] !== undefined || headers['content-encoding'] !== undefined) return undefined
  return typeof length === 'string' && /^\d{1,15}$/.test(length) ? Number(length) : undefined
}

function failure(code: string, message: string): Error {
  return Object.assign(new Error(message), { code })
}

import { lookup } from 'node:dns'
import { createServer, request as ask, type IncomingMessage, type ServerResponse } from 'node:http'
import { BlockList, connect, isIP, type LookupFunction, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'

import { messageOf } from '../errors.js'
import { encodePortOpen, encodePortTarget, METHOD, Reader } from '../native/index.js'
import { Writer } from '../native/bytes.js'
import { formatAddress, parseAddress } from '../network/addresses.js'
import { HOST_NAMES } from '../network/names.js'
import { openOutbound } from './outbound.js'
import { reachFrom } from './reach.js'
import type { Member, Run } from './supervision.js'

const LOOPBACK = 1
const NAMES = ['http_proxy', 'https_proxy', 'no_proxy'] as const
/** Every run's addresses. */
const RANGE = '198.18.0.0/15'

/** This machine itself, whatever it is called: only what `reach` opens. */
const own = new BlockList()
for (const [address, prefix] of [['127.0.0.0', 8], ['0.0.0.0', 8]] as const) own.addSubnet(address, prefix)
for (const address of ['::1', '::']) own.addAddress(address, 'ipv6')

/** A run's proxy, which knows containers by what they say of themselves: their whole ids, which nobody else is told. */
export interface Proxy {
  readonly port: number
}

/**
 * The variables of a container that gets out by a proxy alone; none for others. What the image or the options say of
 * a proxy themselves stands.
 */
export async function proxyVariables(run: Run, id: string, env: readonly string[], peers: readonly string[]): Promise<Readonly<Record<string, string>>> {
  if ((await openOutbound(run)).way !== 'proxy') return {}
  const said = new Set(env.map((entry) => entry.slice(0, entry.indexOf('=')).toLowerCase()))
  const { port } = await (run.proxy ??= open(run))
  const url = `http://${id}@${HOST_NAMES[0]}:${port}`
  const none = ['localhost', '127.0.0.1', '::1', ...HOST_NAMES, RANGE, ...peers].join(',')
  return Object.fromEntries(NAMES.filter((name) => !said.has(name)).flatMap((name) => {
    const value = name === 'no_proxy' ? none : url
    return [[name, value], [name.toUpperCase(), value]]
  }))
}

async function open(run: Run): Promise<Proxy> {
  const server = createServer((request, response) => void pass(run, request, response))
  server.on('connect', (request: IncomingMessage, client: Duplex, head: Buffer) => void tunnel(run, request, client, head))
  server.on('connection', (socket) => socket.unref())
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  server.unref()
  const { port } = await reachFrom(run, server, { address: 0, prefix: 0 })
  return { port }
}

/** CONNECT (RFC 9110, 9.3.6). */
async function tunnel(run: Run, request: IncomingMessage, client: Duplex, head: Buffer): Promise<void> {
  client.on('error', () => undefined)
  try {
    const url = new URL(`http://${request.url ?? ''}`)
    const there = await dial(run, request, url.hostname, Number(url.port === '' ? 80 : url.port))
    client.write('HTTP/1.1 200 Connection Established\r\n\r\n')
    if (head.length > 0) there.write(head)
    for (const [from, to] of [[client, there], [there, client]] as const) {
      from.pipe(to)
      from.once('close', () => to.destroy())
    }
  } catch (error) {
    const { status, text } = refusal(error)
    client.end(`HTTP/1.1 ${status}\r\n${status.startsWith('407') ? CHALLENGE : ''}Content-Length: ${Buffer.byteLength(text)}\r\nConnection: close\r\n\r\n${text}`)
  }
}

const CHALLENGE = 'Proxy-Authenticate: Basic realm="mayfly"\r\n'
/** Of this connection alone (RFC 9110, 7.6.1). */
const HOPS = new Set(['connection', 'proxy-connection', 'keep-alive', 'proxy-authorization', 'te', 'trailer', 'transfer-encoding', 'upgrade'])

/** A request with a whole URL. */
async function pass(run: Run, request: IncomingMessage, response: ServerResponse): Promise<void> {
  try {
    const url = new URL(request.url ?? '')
    if (url.protocol !== 'http:') throw new Refused('400 Bad Request', 'The proxy passes on http alone; the rest goes through CONNECT')
    const there = await dial(run, request, url.hostname, Number(url.port === '' ? 80 : url.port))
    const headers = Object.fromEntries(Object.entries(request.headers).filter(([name]) => !HOPS.has(name)))
    const onward = ask({ method: request.method, path: `${url.pathname}${url.search}`, headers: { ...headers, connection: 'close' }, setHost: false, createConnection: () => there })
    onward.once('response', (answer) => {
      response.writeHead(answer.statusCode ?? 502, Object.fromEntries(Object.entries(answer.headers).filter(([name]) => !HOPS.has(name))))
      answer.pipe(response)
    })
    onward.once('error', (error) => response.headersSent ? response.destroy() : refuse(response, error))
    response.once('close', () => there.destroy())
    request.pipe(onward)
  } catch (error) {
    refuse(response, error)
  }
}

function refuse(response: ServerResponse, error: unknown): void {
  const { status, text } = refusal(error)
  response.writeHead(Number(status.slice(0, 3)), status.slice(4), status.startsWith('407') ? { 'Proxy-Authenticate': 'Basic realm="mayfly"' } : {})
  response.end(text)
}

class Refused extends Error {
  readonly status: string
  constructor(status: string, text: string) {
    super(text)
    this.status = status
  }
}

function refusal(error: unknown): { status: string; text: string } {
  const text = messageOf(error)
  return { status: error instanceof Refused ? error.status : '502 Bad Gateway', text: `mayfly: ${text}\n` }
}

/** A connection to where this container may go, made in its place. */
async function dial(run: Run, request: IncomingMessage, hostname: string, port: number): Promise<Socket> {
  const from = memberOf(run, request)
  const host = hostname.replace(/^\[|\]$/g, '').toLowerCase()
  if (isHost(run, host)) return connected(reachedAddress(run, from, port), port)
  const peer = peerOf(run, from, host)
  if (peer !== undefined) return inside(run, peer, port)
  if (isIP(host) === 0 && !host.includes('.')) throw new Refused('502 Bad Gateway', `Nobody is called ${host} here`)
  if (from.networks.length > 0 && from.networks.every(({ internal }) => internal)) throw new Refused('403 Forbidden', 'An internal network leads nowhere')
  if (isIP(host) > 0 && isOwn(host)) throw new Refused('403 Forbidden', `${host} is this machine's own`)
  return connected(host, port)
}

function memberOf({ members }: Run, request: IncomingMessage): Member {
  const [, encoded = ''] = /^Basic +(\S+)$/i.exec(request.headers['proxy-authorization'] ?? '') ?? []
  const [id = ''] = Buffer.from(encoded, 'base64').toString().split(':')
  const found = members.get(id)
  if (found === undefined) throw new Refused('407 Proxy Authentication Required', 'This proxy serves containers, with what their variables say')
  return found
}

function isHost({ hello }: Run, host: string): boolean {
  return HOST_NAMES.some((name) => name === host) || host === formatAddress(hello.gateway)
}

/** What `reach` let this container in to. */
function reachedAddress({ reached }: Run, { id, address, networks }: Member, port: number): string {
  const addresses = [address, ...networks.map((network) => network.addressOf(id))].filter((one) => one !== undefined)
  const opening = reached.get(port)
  const covered = opening?.sources.some(({ address: base, prefix }) => addresses.some((one) => prefix === 0 || one >>> (32 - prefix) === base >>> (32 - prefix)))
  if (opening === undefined || covered !== true) throw new Refused('403 Forbidden', `Port ${port} of this machine is not opened to the container: hostPorts or reach() do that`)
  return opening.target === '' ? 'localhost' : opening.target
}

/** Whoever it has a network in common with; on the run's own, which knows no names, by its address. Many programs read no ranges in NO_PROXY. */
function peerOf({ members }: Run, { networks, onRun }: Member, host: string): { readonly id: string; readonly address: number } | undefined {
  for (const network of networks) {
    const found = network.find(host)
    if (found !== undefined) return found
  }
  const address = onRun && isIP(host) === 4 ? parseAddress(host) : undefined
  const peer = address === undefined ? undefined : [...members.values()].find((one) => one.onRun && one.address === address)
  return peer === undefined || address === undefined ? undefined : { id: peer.id, address }
}

/** Through a port of its own, gone with the connection. */
async function inside(run: Run, { id, address }: { readonly id: string; readonly address: number }, port: number): Promise<Socket> {
  const { connection } = run
  const number = run.nextPort++
  const reply = await connection.request(METHOD.portOpen, encodePortOpen(number, LOOPBACK, 0, 0, { hold: true }))
  const close = (): void => {
    if (!connection.lost) connection.request(METHOD.portClose, new Writer().u32(number).take()).catch(() => undefined)
  }
  try {
    await connection.request(METHOD.portTarget, encodePortTarget(number, id, address, port))
    const socket = await connected('127.0.0.1', new Reader(reply).u16())
    socket.once('close', close)
    return socket
  } catch (error) {
    close()
    throw error
  }
}

function connected(host: string, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, allowHalfOpen: true, ...(host === 'localhost' || isIP(host) > 0 ? {} : { lookup: outside }) })
    socket.unref()
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.off('error', reject)
      socket.on('error', () => undefined)
      resolve(socket)
    })
  })
}

/** Names of the world that lead back to this machine do not count. */
const outside: LookupFunction = (hostname, options, done) => {
  lookup(hostname, { ...options, all: true }, (error, all) => {
    const found = error === null ? all.filter(({ address }) => !isOwn(address)) : []
    const [first] = found
    if (first === undefined) done(error ?? Object.assign(new Error(`${hostname} is this machine's own`), { code: 'EACCES' }), '', 0)
    else if (options.all === true) done(null, found)
    else done(null, first.address, first.family)
  })
}

function isOwn(address: string): boolean {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (mapped !== undefined) return isOwn(mapped)
  if (isIP(address) === 6) return own.check(address, 'ipv6')
  // What containers have is never reached from outside.
  return own.check(address, 'ipv4') || parseAddress(address) >>> 17 === parseAddress('198.18.0.0') >>> 17
}

import { MayflyError } from '../errors.js'
import { encodePortOpen, METHOD } from '../native/index.js'
import { Writer } from '../native/bytes.js'
import { parseAddress } from '../network/addresses.js'
import { HOST_NAMES } from '../network/names.js'
import { currentRun, type Run } from './supervision.js'
import type { Listening, Reached } from './types.js'

const REACH = 4

/** Whose connections are let through: those from these addresses. */
export interface Source {
  readonly address: number
  readonly prefix: number
}

const EVERYBODY: Source = { address: 0, prefix: 0 }

/** One port of the machine that containers reach, for as long as somebody wants it. */
export interface Opening {
  readonly id: number
  readonly target: string
  readonly sources: Source[]
  ready: Promise<void>
}

/** See `reach`. */
export async function reachRun(server: Listening): Promise<Reached> {
  return reachFrom(await currentRun(), server, EVERYBODY)
}

/**
 * Lets the sources reach a server of this machine. Its port has the same number for them; connections are copied by the
 * supervisor. Throws ERR_MAYFLY_OPTION_INVALID for a server that does not listen on TCP, ERR_MAYFLY_ADDRESS_IN_USE when
 * another address's port of this number is reached already, ERR_MAYFLY_UNSUPPORTED where containers have no network.
 */
export async function reachFrom(run: Run, server: Listening, source: Source): Promise<Reached> {
  if (run.hello.prefix === 0) throw new MayflyError('ERR_MAYFLY_UNSUPPORTED', 'This machine gives Mayfly no network for its containers')
  const { port, target } = placeOf(server)
  await open(run, port, target, source)
  let closed: Promise<void> | undefined
  const close = (): Promise<void> => closed ??= withdraw(run, port, source)
  return {
    host: HOST_NAMES[0],
    port,
    url: (scheme = 'http') => `${scheme}://${HOST_NAMES[0]}:${port}`,
    close,
    [Symbol.asyncDispose]: close,
  }
}

async function open(run: Run, port: number, target: string, source: Source): Promise<void> {
  const known = run.reached.get(port)
  if (known !== undefined && known.target !== target) {
    throw new MayflyError('ERR_MAYFLY_ADDRESS_IN_USE', `Port ${port} of another address of this machine is reached from containers already`, { details: { port } })
  }
  if (known !== undefined) {
    known.sources.push(source)
    await known.ready
    return allow(run, known)
  }
  const opening: Opening = { id: run.nextPort++, target, sources: [source], ready: Promise.resolve() }
  run.reached.set(port, opening)
  opening.ready = run.connection.request(METHOD.portOpen, encodePortOpen(opening.id, REACH, 0, port, { host: target })).then(() => undefined)
  try {
    await opening.ready
  } catch (error) {
    run.reached.delete(port)
    throw error
  }
  await allow(run, opening)
}

async function allow(run: Run, { id, sources }: Opening): Promise<void> {
  const fields = new Writer().u32(id)
  fields.list(sources, ({ address, prefix }) => fields.u32(address).u8(prefix))
  await run.connection.request(METHOD.portAllow, fields.take())
}

async function withdraw(run: Run, port: number, source: Source): Promise<void> {
  const opening = run.reached.get(port)
  const at = opening?.sources.indexOf(source) ?? -1
  if (opening === undefined || at < 0) return
  opening.sources.splice(at, 1)
  if (opening.sources.length === 0) run.reached.delete(port)
  if (run.connection.lost) return
  if (opening.sources.length > 0) await allow(run, opening)
  else await run.connection.request(METHOD.portClose, new Writer().u32(opening.id).take())
}

/** An empty target is the loopback, by 127.0.0.1 and then by ::1. */
function placeOf(server: Listening): { port: number; target: string } {
  const address = typeof server === 'number' ? { port: server, address: '' } : server.address()
  if (typeof address === 'string') throw invalid('the server listens on a unix socket', 'Let it listen on a port of 127.0.0.1.')
  if (address === null) throw invalid('the server does not listen yet', 'Wait for its "listening" event first.')
  const { port } = address
  if (!Number.isInteger(port) || port < 1 || port > 65_535) throw invalid(`${port} is no port`)
  const anywhere = ['', '0.0.0.0', '::', '127.0.0.1'].includes(address.address)
  return { port, target: anywhere ? '' : address.address.replace(/^::ffff:/, '') }
}

function invalid(why: string, hint?: string): MayflyError {
  return new MayflyError('ERR_MAYFLY_OPTION_INVALID', `Containers cannot reach this: ${why}`, { hint })
}

/** The one container with this address. */
export function sourceOf(ip: string): Source {
  return { address: parseAddress(ip), prefix: 32 }
}

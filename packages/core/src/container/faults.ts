import { isMayflyError, MayflyError } from '../errors.js'
import { encodeFault, FAULT, METHOD, Reader, type FaultRequest } from '../native/index.js'
import { Writer } from '../native/bytes.js'
import { parseSize } from '../units.js'
import type { Fault, Faults, FaultScope, Direction } from './fault-types.js'
import type { Run } from './supervision.js'

/** What faults need of their container. */
export interface Faulty {
  readonly run: Run
  readonly id: string
  readonly name: string
  /** Size of its writable layer, if it has a limit. */
  readonly storage: number | undefined
  /** What goes through its ports is not seen on the way. */
  readonly direct: boolean
  freeze(frozen: boolean): Promise<void>
  kill(signal?: string | number): Promise<void>
}

const DAY = 86_400_000
const UNLIMITED = 2n ** 64n - 1n
const DIRECTIONS: Readonly<Record<Direction, number>> = { up: 1, down: 2, both: 3 }
const PROTOCOLS = { tcp: 6, udp: 17 } as const
type Kind = FaultRequest['kind']

/** See `Faults`. */
export class ContainerFaults implements Faults {
  readonly #of: Faulty
  readonly #on = new Set<Fault>()

  constructor(of: Faulty) {
    this.#of = of
  }

  latency({ ms, jitter = 0, ...scope }: FaultScope & { readonly ms: number; readonly jitter?: number | undefined }): Promise<Fault> {
    const [amount, spread] = [nanoseconds('ms', ms), nanoseconds('jitter', jitter)]
    return this.#network(`latency of ${ms} ms`, FAULT.delay, { direction: 'down', ...scope }, amount, spread)
  }

  bandwidth({ rate, ...scope }: FaultScope & { readonly rate: number | string }): Promise<Fault> {
    const bytes = parseSize(rate)
    if (bytes < 1) throw invalid('rate', rate, 'at least one byte in a second; `timeout` lets nothing through')
    return this.#network(`${bytes} bytes in a second`, FAULT.rate, scope, BigInt(bytes))
  }

  timeout(scope: FaultScope = {}): Promise<Fault> {
    return this.#network('silence', FAULT.drop, scope)
  }

  cut({ after, ...scope }: FaultScope & { readonly after?: number | undefined } = {}): Promise<Fault> {
    if (after !== undefined && (!Number.isSafeInteger(after) || after < 0)) throw invalid('after', after, 'a number of bytes')
    return this.#network(after === undefined ? 'cut' : `cut after ${after} bytes`, FAULT.cut, scope, after === undefined ? UNLIMITED : BigInt(after))
  }

  slowClose({ ms, ...scope }: FaultScope & { readonly ms: number }): Promise<Fault> {
    return this.#network(`ends told ${ms} ms late`, FAULT.slowClose, { direction: 'down', ...scope }, nanoseconds('ms', ms))
  }

  async reset({ peer, port = 0 }: Pick<FaultScope, 'peer' | 'port'> = {}): Promise<number> {
    const { run, id } = this.#of
    if (peer === undefined) this.#refuseDirect()
    const counts = await Promise.all(addressesOf(run, peer).map(async (address) => {
      const reply = await run.connection.request(METHOD.connectionsReset, new Writer().str(id).u32(address).u16(portOf(port)).take())
      return new Reader(reply).u32()
    }))
    return counts.reduce((sum, count) => sum + count, 0)
  }

  async pause(): Promise<Fault> {
    await this.#of.freeze(true)
    return this.#keep('pause', () => this.#of.freeze(false))
  }

  async memory({ free }: { readonly free: number | string }): Promise<Fault> {
    const room = parseSize(free)
    const { run, id } = this.#of
    const v2 = run.hello.features.get('cgroup') === 'v2'
    const [used, limit] = v2 ? ['memory.current', 'memory.max'] as const : ['memory.usage_in_bytes', 'memory.limit_in_bytes'] as const
    const read = async (file: string): Promise<string> =>
      new Reader(await run.connection.request(METHOD.cgroupRead, new Writer().str(id).str('memory').str(file).take())).str().trim()
    const write = async (value: string): Promise<void> => {
      await run.connection.request(METHOD.cgroupWrite, new Writer().str(id).str('memory').str(limit).str(value).take())
    }
    const before = await read(limit)
    const wanted = Number(await read(used)) + room
    // A limit is only ever made tighter; `max` is none.
    await write(String(Math.min(wanted, before === 'max' ? wanted : Number(before))))
    return this.#keep(`${room} bytes of memory left`, () => write(before))
  }

  async disk({ free = 0 }: { readonly free?: number | string | undefined } = {}): Promise<Fault> {
    const { run, id, name, storage } = this.#of
    if (storage === undefined) {
      throw new MayflyError('ERR_MAYFLY_UNSUPPORTED', `The writable layer of ${name} has no limit that could be reached`, {
        hint: 'Start it with one: run(image, { storage: \'64m\' }).',
      })
    }
    const fill = async (bytes: bigint): Promise<void> => {
      await run.connection.request(METHOD.fill, new Writer().str(id).u64(bytes).take())
    }
    await fill(BigInt(parseSize(free)))
    return this.#keep('a full disk', () => fill(UNLIMITED))
  }

  kill(signal?: string | number): Promise<void> {
    return this.#of.kill(signal)
  }

  async clear(): Promise<void> {
    await Promise.all([...this.#on].map((fault) => fault.clear()))
  }

  async #network(description: string, kind: Kind, { direction = 'both', peer, port = 0, protocol }: FaultScope, amount = 0n, jitter = 0n): Promise<Fault> {
    const { run, id } = this.#of
    if (peer === undefined) this.#refuseDirect()
    const directions = directionsOf(direction)
    const faults = addressesOf(run, peer).map((address) => {
      const fault = run.nextFault++
      return { fault, container: id, kind, directions, protocol: protocol === undefined ? 0 : PROTOCOLS[protocol], peer: address, port: portOf(port), amount, jitter }
    })
    const remove = async (): Promise<void> => {
      await Promise.all(faults.map(({ fault }) => removeFault(run, fault)))
    }
    try {
      await Promise.all(faults.map((fault) => run.connection.request(METHOD.faultAdd, encodeFault(fault))))
    } catch (error) {
      await remove()
      throw error
    }
    return this.#keep(direction === 'both' ? description : `${description}, ${direction}`, remove)
  }

  #refuseDirect(): void {
    if (!this.#of.direct) return
    throw new MayflyError('ERR_MAYFLY_UNSUPPORTED', `The clients of ${this.#of.name} talk to it directly, and nothing that could go wrong is between them`, {
      hint: 'Start it with loopback: true instead of loopback: \'direct\'.',
    })
  }

  #keep(description: string, undo: () => Promise<void>): Fault {
    let cleared: Promise<void> | undefined
    const clear = (): Promise<void> => cleared ??= this.#clear(fault, undo)
    const fault: Fault = { description, clear, [Symbol.asyncDispose]: clear }
    this.#on.add(fault)
    return fault
  }

  async #clear(fault: Fault, undo: () => Promise<void>): Promise<void> {
    this.#on.delete(fault)
    // With the container everything of it is gone.
    if (this.#of.run.connection.lost) return
    await undo().catch((error: unknown) => {
      if (!isMayflyError(error) || !['ERR_MAYFLY_CONTAINER_NOT_FOUND', 'ERR_MAYFLY_NOT_RUNNING'].includes(error.code)) throw error
    })
  }
}

/** Throws ERR_MAYFLY_OPTION_INVALID. */
export function directionsOf(direction: Direction): number {
  const directions = DIRECTIONS[direction] as number | undefined
  if (directions === undefined) throw invalid('direction', direction, '"up", "down" or "both"')
  return directions
}

/** Nothing passes between the two containers, in these directions of the first. */
export async function separate(run: Run, container: string, peer: number, directions: number): Promise<() => Promise<void>> {
  const fault = run.nextFault++
  const request = { fault, container, kind: FAULT.drop, directions, protocol: 0, peer, port: 0, amount: 0n, jitter: 0n }
  await run.connection.request(METHOD.faultAdd, encodeFault(request))
  return () => removeFault(run, fault)
}

async function removeFault(run: Run, fault: number): Promise<void> {
  if (run.connection.lost) return
  // Gone with its container.
  await run.connection.request(METHOD.faultRemove, new Writer().u32(fault).take()).catch((error: unknown) => {
    if (!isMayflyError(error) || error.details['errno'] !== 'ENOENT') throw error
  })
}

/** Where the other container is: on the run's own network and on others. 0 stands for everywhere. */
function addressesOf(run: Run, peer: { readonly id: string } | undefined): number[] {
  if (peer === undefined) return [0]
  const member = run.members.get(peer.id)
  if (member === undefined) throw new MayflyError('ERR_MAYFLY_CONTAINER_NOT_FOUND', 'The peer of a fault is no running container of this process')
  return [...new Set([member.address, ...member.networks.map((network) => network.addressOf(peer.id))])].filter((address) => address !== undefined)
}

function nanoseconds(option: string, ms: number): bigint {
  if (!Number.isFinite(ms) || ms < 0 || ms > DAY) throw invalid(option, ms, 'milliseconds, at most those of a day')
  return BigInt(Math.round(ms * 1e6))
}

function portOf(port: number): number {
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw invalid('port', port, 'a number from 1 to 65535')
  return port
}

function invalid(option: string, value: unknown, allowed: string): MayflyError {
  return new MayflyError('ERR_MAYFLY_OPTION_INVALID', `Invalid ${option} ${JSON.stringify(value)} of a fault: ${allowed}`)
}

import { Reader, Writer } from './bytes.js'

/** The requests' numbers on the wire (docs/protocol.md). */
export const METHOD = {
  hello: 1, create: 2, start: 3, exec: 4, signal: 5, wait: 6, remove: 7, logs: 8, attach: 9, resize: 10,
  portOpen: 11, portTarget: 12, portClose: 13, sockets: 14, portWatch: 15, cgroupRead: 16, cgroupWrite: 17,
  list: 18, shutdown: 19, label: 20, helper: 21, netdev: 22, restart: 23,
  networkCreate: 33, networkDelete: 34, networkConnect: 35, networkDisconnect: 36, names: 37, portAllow: 38, outbound: 39,
  faultAdd: 40, faultRemove: 41, connectionsReset: 42, fill: 43, scratchSave: 48,
} as const

export const PROTOCOL_VERSION = 1

export interface Hello {
  readonly version: string
  readonly features: ReadonlyMap<string, string>
  readonly supervisorPid: number
  readonly subnet: number
  readonly prefix: number
  readonly gateway: number
}

export interface CgroupWrite {
  readonly controller: string
  readonly file: string
  readonly value: string
}

export interface CreateRequest {
  readonly id: string
  readonly flags: number
  /** CLONE_NEW* bits of the namespaces it gets for itself. */
  readonly namespaces: number
  /** The container whose pid namespace it shares; empty for its own, or the run's. */
  readonly pidOf: string
  readonly label: Uint8Array
  /** A directory on disk that dies with the container, or empty. */
  readonly scratch: string
  readonly cgroup: readonly CgroupWrite[]
  /** Bytes of log kept; 0 for the default of 10 MiB. */
  readonly logCap: number
  readonly operations: Uint8Array
}

/** The rest of a container that was created waiting. */
export type StartRequest = Pick<CreateRequest, 'id' | 'flags' | 'label' | 'scratch' | 'cgroup' | 'logCap' | 'operations'>

export interface RawExit {
  readonly code: number
  readonly signal: number
  readonly oomKilled: boolean
}

/** By their numbers on the wire; the first: being made. */
const STATES = ['made', 'waiting', 'running', 'exited'] as const

export interface ListedContainer extends RawExit {
  readonly id: string
  readonly state: (typeof STATES)[number]
  readonly pid: number
  /** Nanoseconds since 1970. */
  readonly startedAt: bigint
  readonly exitedAt: bigint
  readonly label: Buffer
}

/** A piece of a container's output, or how many bytes of it are gone. Times are nanoseconds since 1970. */
export type LogRecord =
  | { readonly time: bigint; readonly stream: 'stdout' | 'stderr'; readonly bytes: Buffer }
  | { readonly time: bigint; readonly stream: 'dropped'; readonly count: bigint }

export type NativeEvent =
  | { readonly kind: 'started'; readonly container: string }
  | { readonly kind: 'exited'; readonly container: string; readonly exec: number; readonly exit: RawExit }
  /** listen() failed at a port that leads to it. */
  | { readonly kind: 'unheard'; readonly container: string; readonly port: number; readonly errno: string }
  | { readonly kind: 'log-dropped'; readonly container: string; readonly bytes: bigint }

export function encodeHello(version: string, token: string): Buffer {
  return new Writer().u32(PROTOCOL_VERSION).str(version).str(token).take()
}

export function decodeHello(payload: Buffer): Hello {
  const reader = new Reader(payload)
  reader.u32()
  const version = reader.str()
  const lines = reader.str().split('\n').filter((line) => line.includes('='))
  const features = new Map(lines.map((line) => {
    const at = line.indexOf('=')
    return [line.slice(0, at), line.slice(at + 1)] as const
  }))
  return { version, features, supervisorPid: reader.u32(), subnet: reader.u32(), prefix: reader.u8(), gateway: reader.u32() }
}

export function encodeCreate(request: CreateRequest): Buffer {
  const writer = new Writer()
  writer.str(request.id).u32(request.flags).u32(request.namespaces).str(request.pidOf).bytes(request.label).str(request.scratch)
  writer.list(request.cgroup, ({ controller, file, value }) => writer.str(controller).str(file).str(value))
  return writer.u32(request.logCap).bytes(request.operations).take()
}

export function encodeStart(request: StartRequest): Buffer {
  const writer = new Writer()
  writer.str(request.id).u32(request.flags).bytes(request.label).str(request.scratch)
  writer.list(request.cgroup, ({ controller, file, value }) => writer.str(controller).str(file).str(value))
  return writer.u32(request.logCap).bytes(request.operations).take()
}

/** A stopped container's new life: its operation list is a whole one. */
export function encodeRestart({ id, flags, operations }: Pick<CreateRequest, 'id' | 'flags' | 'operations'>): Buffer {
  return new Writer().str(id).u32(flags).bytes(operations).take()
}

export function encodeExec(container: string, flags: number, credit: number, operations: Uint8Array): Buffer {
  return new Writer().str(container).u32(flags).u32(credit).bytes(operations).take()
}

export function encodeLogs(container: string, flags: number, since: bigint, tail: number, credit: number): Buffer {
  return new Writer().str(container).u32(flags).u64(since).u32(tail).u32(credit).take()
}

/**
 * Where: on the machine, on the hub, as a unix socket of the machine, or on the hub leading to the machine. `hold`:
 * connections are accepted before there is a target; `host`: an address of the machine instead of its loopback, or a path; `handed`: the service gets the sockets
 * themselves, and `portTarget` may name a container that is still to be made.
 */
export function encodePortOpen(
  port: number, where: 1 | 2 | 3 | 4, address: number, number: number, { hold = false, udp = false, handed = false, host = '' }: { readonly hold?: boolean; readonly udp?: boolean; readonly handed?: boolean; readonly host?: string } = {},
): Buffer {
  return new Writer().u32(port).u8(where).u32(address).u16(number).u32(Number(hold) | Number(udp) << 1 | Number(handed) << 2).str(host).take()
}

/** `inside`: the path of a unix socket instead of an address. */
export function encodePortTarget(port: number, container: string, address: number, number: number, inside = ''): Buffer {
  return new Writer().u32(port).str(container).u32(address).u16(number).str(inside).take()
}

/** The native program's names of what can happen to a container's packets. */
export const FAULT = { delay: 1, rate: 2, drop: 3, cut: 4, slowClose: 5 } as const

export interface FaultRequest {
  readonly fault: number
  readonly container: string
  readonly kind: (typeof FAULT)[keyof typeof FAULT]
  /** 1: what goes to the container, 2: what comes from it. */
  readonly directions: number
  /** 6 or 17; 0 for all. */
  readonly protocol: number
  /** The other end's address and a port of either end; 0 for all. */
  readonly peer: number
  readonly port: number
  /** Nanoseconds, bytes in a second, or bytes. */
  readonly amount: bigint
  readonly jitter: bigint
}

export function encodeFault({ fault, container, kind, directions, protocol, peer, port, amount, jitter }: FaultRequest): Buffer {
  return new Writer().u32(fault).str(container).u8(kind).u8(directions).u8(protocol).u32(peer).u16(port).u64(amount).u64(jitter).take()
}

export function decodeExit(payload: Buffer): RawExit {
  const reader = new Reader(payload)
  reader.u8()
  return readExit(reader)
}

export function decodeList(payload: Buffer): ListedContainer[] {
  const reader = new Reader(payload)
  return reader.list(() => {
    const id = reader.str()
    const state = reader.u8()
    return {
      id,
      state: STATES[state] ?? 'exited',
      pid: reader.u32(),
      startedAt: reader.u64(),
      exitedAt: reader.u64(),
      ...readExit(reader),
      label: reader.bytes(),
    }
  })
}

export function decodeLogRecords(payload: Buffer): LogRecord[] {
  const reader = new Reader(payload)
  const records: LogRecord[] = []
  while (reader.left > 0) {
    const time = reader.u64()
    const stream = reader.u8()
    const bytes = reader.bytes()
    records.push(stream === 0 ? { time, stream: 'dropped', count: new Reader(bytes).u64() } : { time, stream: stream === 2 ? 'stderr' : 'stdout', bytes })
  }
  return records
}

/** The same records as the supervisor sends them. */
export function encodeLogRecord(record: LogRecord): Buffer {
  const writer = new Writer().u64(record.time)
  if (record.stream === 'dropped') return writer.u8(0).bytes(new Writer().u64(record.count).take()).take()
  return writer.u8(record.stream === 'stderr' ? 2 : 1).bytes(record.bytes).take()
}

export function decodeEvent(payload: Buffer): NativeEvent | undefined {
  const reader = new Reader(payload)
  const event = reader.u16()
  const container = reader.str()
  if (event === 1) return { kind: 'started', container }
  if (event === 2) return { kind: 'exited', container, exec: reader.u32(), exit: readExit(reader) }
  if (event === 4) return { kind: 'unheard', container, port: reader.u32(), errno: reader.str() }
  return event === 3 ? { kind: 'log-dropped', container, bytes: reader.u64() } : undefined
}

function readExit(reader: Reader): RawExit {
  return { code: reader.i32(), signal: reader.i32(), oomKilled: reader.u8() === 1 }
}

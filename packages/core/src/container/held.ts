import { encodePortOpen, encodePortTarget, METHOD, Reader, Writer } from '../native/index.js'
import { formatAddress, parseAddress } from '../network/addresses.js'
import { currentRun } from './supervision.js'

/** A fixed address for instances that come and go. Connections are accepted at once and held while there is no instance; datagrams are lost then. */
export interface HeldAddress {
  readonly host: string
  /** The number at `host`, by the container's port. Equal wherever the run has a network. */
  readonly ports: Readonly<Record<string, number>>
  /** The same of ports of datagrams. */
  readonly udp: Readonly<Record<string, number>>
  /** Sends connections to this container from now on, held ones included; undefined holds new ones again. */
  aim(container: { readonly id: string, readonly ip: string } | undefined): Promise<void>
  close(): Promise<void>
}

const LOOPBACK = 1
const HUB = 2

interface Opened {
  readonly id: number
  /** The container's. */
  readonly port: number
  readonly datagrams: boolean
  readonly number: number
}

/**
 * Opens a held address in the run of this process: one of the run's own network with the container's own port numbers,
 * or, where the host does not reach that, free ports of 127.0.0.1. The supervisor copies between client and container. Ends with the run.
 */
export async function openHeldAddress(tcp: readonly number[], udp: readonly number[] = []): Promise<HeldAddress> {
  const run = await currentRun()
  const address = run.reachable ? run.addresses?.take() : undefined
  const opened: Opened[] = []
  const close = async (): Promise<void> => {
    const ids = opened.splice(0).map(({ id }) => id)
    if (!run.connection.lost) await Promise.all(ids.map((id) => run.connection.request(METHOD.portClose, new Writer().u32(id).take())))
    if (address !== undefined) run.addresses?.free(address)
  }
  try {
    await Promise.all([...tcp.map((port) => ({ port, datagrams: false })), ...udp.map((port) => ({ port, datagrams: true }))].map(async ({ port, datagrams }) => {
      const id = run.nextPort++
      const [where, number] = address === undefined ? [LOOPBACK, 0] as const : [HUB, port] as const
      const reply = await run.connection.request(METHOD.portOpen, encodePortOpen(id, where, address ?? 0, number, { hold: true, udp: datagrams }))
      opened.push({ id, port, datagrams, number: new Reader(reply).u16() })
    }))
  } catch (error) {
    await close()
    throw error
  }
  return {
    host: address === undefined ? '127.0.0.1' : formatAddress(address),
    ports: numbers(opened, false),
    udp: numbers(opened, true),
    aim: async (container) => {
      const [id, target] = container === undefined ? ['', 0] as const : [container.id, parseAddress(container.ip)] as const
      await Promise.all(opened.map((own) => run.connection.request(METHOD.portTarget, encodePortTarget(own.id, id, target, own.port))))
    },
    close,
  }
}

function numbers(opened: readonly Opened[], datagrams: boolean): Readonly<Record<string, number>> {
  return Object.fromEntries(opened.filter((one) => one.datagrams === datagrams).map(({ port, number }) => [String(port), number]))
}

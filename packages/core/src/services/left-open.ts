import { Socket } from 'node:net'
import type { Address } from './address.js'

/** Node's own list of what keeps a process or a worker alive; documented nowhere, there in every version. */
type Listed = NodeJS.Process & { readonly _getActiveHandles?: () => readonly unknown[] }

/** How an instance is reached. */
interface Instance {
  readonly address: Pick<Address, 'host' | 'ports'>
  /** Its container's own, where that is known. */
  readonly ip?: string
}

/** Whether this process has a connection to an instance, or to where it is to be. */
export function isConnectedTo(instance: Instance): boolean {
  const places = new Set(placesOf(instance))
  return openSockets().some(socket => isAt(socket, places))
}

/**
 * Closes the connections that this process still has to instances which are about to end, and waits until all have heard of it.
 * Its end would be an error to clients that nobody ended, such as the pool of a module, and with no listener for it one that fails
 * tests which have passed. They hear of an orderly end instead, and what they throw for want of a listener is nobody's.
 * Connections that TLS runs over, and such as keep no process alive, are left to the instance's end.
 */
export async function closeLeftOpen(ending: readonly Instance[], others: readonly Instance[] = []): Promise<void> {
  const open = openSockets()
  if (open.length === 0) return
  const shared = new Set(others.flatMap(placesOf))
  const places = new Set(ending.flatMap(placesOf).filter(place => !shared.has(place)))
  await Promise.all(open.filter(socket => isAt(socket, places)).map(closeQuietly))
}

function openSockets(): Socket[] {
  return ((process as Listed)._getActiveHandles?.() ?? []).filter((one): one is Socket => one instanceof Socket && !one.destroyed)
}

function isAt({ remoteAddress = '', remotePort = 0 }: Socket, places: ReadonlySet<string>): boolean {
  return places.has(placeOf(remoteAddress, remotePort))
}

function placesOf({ address: { host, ports }, ip = host }: Instance): string[] {
  return Object.entries(ports).flatMap(([inside, number]) => [placeOf(host, number), placeOf(ip, Number(inside))])
}

function placeOf(host: string, port: number): string {
  return `${host.replace(/^::ffff:/, '')} ${String(port)}`
}

function closeQuietly(socket: Socket): Promise<void> {
  return new Promise(resolve => {
    const emit = socket.emit.bind(socket) as (...event: readonly unknown[]) => boolean
    socket.emit = (...event: readonly unknown[]) => {
      try {
        return emit(...event)
      } catch {
        return true
      } finally {
        if (event[0] === 'close') resolve()
      }
    }
    socket.destroy()
  })
}

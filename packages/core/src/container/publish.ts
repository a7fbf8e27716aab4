import type { Image } from '../images/index.js'
import { encodePortOpen, encodePortTarget, METHOD, Reader } from '../native/index.js'
import { Writer } from '../native/bytes.js'
import { exposedPorts, optionPorts } from './handle.js'
import type { Run } from './supervision.js'
import type { RunOptions } from './types.js'

const LOOPBACK = 1
const LOCALHOST = 0x7f000001

/** A container's ports on the host's loopback. */
export interface Published {
  /** Container port to host port. */
  readonly ports: ReadonlyMap<number, number>
  /** Points them at the container, which exists by now. */
  aim(id: string): Promise<void>
  close(): void
}

/**
 * Binds host ports on the loopback: those with a fixed number, and all when the loopback is asked for. Done before the
 * program starts, which shall not run when its port is taken. Throws ERR_MAYFLY_ADDRESS_IN_USE.
 */
export async function publish(
  run: Run, image: Image, options: Pick<RunOptions, 'ports' | 'loopback' | 'network'>, address: number | undefined,
): Promise<Published> {
  if (options.network !== undefined) return unpublished(image, options)
  const everything = options.loopback === true || !run.reachable || address === undefined
  const mappings = (options.ports ?? []).map((port) => typeof port === 'number' ? { container: port } : port)
  const fixed = new Map(mappings.flatMap(({ container, host }) => host === undefined ? [] : [[container, host] as const]))
  const wanted = everything ? new Set([...optionPorts(options), ...exposedPorts(image)]) : new Set(fixed.keys())
  const ports = new Map<number, number>()
  const opened = new Map<number, number>()
  const close = (): void => {
    for (const port of opened.values()) closePort(run, port)
    opened.clear()
  }
  try {
    await Promise.all([...wanted].map(async (container) => {
      const port = run.nextPort++
      const reply = await run.connection.request(METHOD.portOpen, encodePortOpen(port, LOOPBACK, 0, fixed.get(container) ?? 0, false))
      opened.set(container, port)
      ports.set(container, new Reader(reply).u16())
    }))
  } catch (error) {
    close()
    throw error
  }
  const aim = async (id: string): Promise<void> => {
    await Promise.all([...opened].map(([container, port]) =>
      run.connection.request(METHOD.portTarget, encodePortTarget(port, id, address ?? LOCALHOST, container))))
  }
  return { ports, aim, close }
}

/** Without a network of its own: the host's ports are the container's, and elsewhere there are none. */
function unpublished(image: Image, options: Pick<RunOptions, 'ports' | 'network'>): Published {
  const ports = options.network === 'host' ? [...optionPorts(options), ...exposedPorts(image)] : []
  return { ports: new Map(ports.map((port) => [port, port])), aim: () => Promise.resolve(), close: () => undefined }
}

function closePort(run: Run, port: number): void {
  if (!run.connection.lost) run.connection.request(METHOD.portClose, new Writer().u32(port).take()).catch(() => undefined)
}

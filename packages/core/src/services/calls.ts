import type { Container } from '../container/types.js'
import { MayflyError } from '../errors.js'

/** Methods of a container that a test may call through the run host; arguments and results are JSON. */
export const REMOTE_METHODS = ['exec', 'logs', 'kill', 'pause', 'unpause', 'stats', 'stop', 'exit'] as const

/** Calls a container's method on behalf of a worker. */
export async function callContainer(container: Container, method: string, args: readonly unknown[]): Promise<unknown> {
  if (!(REMOTE_METHODS as readonly string[]).includes(method)) {
    throw new MayflyError('ERR_MAYFLY_UNSUPPORTED', `A leased container has no method "${method}"`)
  }
  if (method === 'exit') return await container.exit
  if (method === 'logs') {
    const lines: unknown[] = []
    for await (const line of container.logs({ follow: false })) lines.push(line)
    return lines
  }
  const call: unknown = Reflect.get(container, method)
  if (typeof call !== 'function') {
    throw new MayflyError('ERR_MAYFLY_UNSUPPORTED', `This engine's containers have no method "${method}"`)
  }
  return (await Reflect.apply(call, container, args)) as unknown
}

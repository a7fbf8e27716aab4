import { openPostgres } from './postgres-session.js'
import type { Server } from './types.js'

/** Milliseconds after which it is let be. */
const PATIENCE = 2000

/**
 * Connects once: the first connection to a server that has started makes its catalogue's cache, 10 ms of work. By the server's own
 * socket, where the image asks for no password; where it does, or there is no such socket, nothing is gained and nothing lost.
 */
export async function greetPostgres(server: Pick<Server, 'env'> & { readonly container: { socket(path: string): Promise<string> } }): Promise<void> {
  const session = await openPostgres(server, { patience: PATIENCE })
  session?.[Symbol.dispose]()
}

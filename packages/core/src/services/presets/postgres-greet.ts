import { connect } from 'node:net'

import type { Environment, Server } from './types.js'

const SOCKET = '/var/run/postgresql/.s.PGSQL.5432'
/** 3.0. [PostgreSQL, "Frontend/Backend Protocol", "Message Formats", StartupMessage] */
const PROTOCOL = 196_608
/** Milliseconds after which it is let be. */
const PATIENCE = 2000

/**
 * Connects once: the first connection to a server that has started makes its catalogue's cache, 10 ms of work. By the server's own
 * socket, where the image asks for no password; where it does, or there is no such socket, nothing is gained and nothing lost.
 */
export async function greetPostgres({ container, env }: Pick<Server, 'env'> & { readonly container: { socket(path: string): Promise<string> } }): Promise<void> {
  const path = await container.socket(SOCKET)
  const socket = connect(path)
  socket.setTimeout(PATIENCE, () => { socket.destroy() })
  try {
    socket.write(startupMessage(env))
    let said = Buffer.alloc(0)
    for await (const chunk of socket) {
      said = Buffer.concat([said, chunk as Buffer])
      if (isSettled(said)) return
    }
  } finally {
    socket.destroy()
  }
}

function startupMessage(env: Environment): Buffer {
  const user = env['POSTGRES_USER'] ?? 'postgres'
  const parameters = Buffer.from(`user\0${user}\0database\0${env['POSTGRES_DB'] ?? user}\0\0`)
  const message = Buffer.alloc(8 + parameters.length)
  message.writeInt32BE(message.length, 0)
  message.writeInt32BE(PROTOCOL, 4)
  parameters.copy(message, 8)
  return message
}

/** Whether it is ready for queries, asks for a password, or refuses: whatever it is, there is no more to come for us. */
function isSettled(bytes: Buffer): boolean {
  const first = String.fromCharCode(bytes[0] ?? 0)
  // AuthenticationOk is 0; what follows it ends with ReadyForQuery, of six bytes.
  if (first === 'R' && bytes.length >= 9 && bytes.readInt32BE(5) !== 0) return true
  return first === 'E' || bytes.at(-6) === 0x5a
}

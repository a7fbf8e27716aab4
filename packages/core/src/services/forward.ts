import { connect, createServer, type Server, type Socket } from 'node:net'

/** Where connections to a stable address go at the moment. */
export interface Target {
  readonly host: string
  readonly port: number
}

/** A fixed address on loopback whose connections go to the current target; without one they are held, accepted. */
export interface Forward {
  readonly port: number
  /** Sets or clears the target. Held connections go to the new one; established ones end with the old one. */
  aim(target: Target | undefined): void
  close(): void
}

/** Opens a forward under a free port of 127.0.0.1. */
export async function openForward(): Promise<Forward> {
  const held = new Set<Socket>()
  const open = new Set<Socket>()
  let target: Target | undefined
  const accept = (client: Socket): void => {
    client.on('error', () => client.destroy())
    client.on('close', () => held.delete(client))
    if (target === undefined) held.add(client)
    else join(client, target)
  }
  const join = (client: Socket, to: Target): void => {
    const server = connect({ ...to, noDelay: true, allowHalfOpen: true })
    for (const [socket, other] of [[client, server], [server, client]] as const) {
      open.add(socket)
      socket.on('error', () => other.destroy())
      socket.on('close', () => {
        open.delete(socket)
        other.destroy()
      })
    }
    client.pipe(server)
    server.pipe(client)
  }
  const listener = await listen(accept)
  const address = listener.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    aim: next => {
      for (const socket of open) socket.destroy()
      target = next
      if (next === undefined) return
      for (const client of held) join(client, next)
      held.clear()
    },
    close: () => {
      listener.close()
      for (const socket of [...open, ...held]) socket.destroy()
    },
  }
}

function listen(accept: (client: Socket) => void): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: false }, accept)
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => resolve(server))
  })
}

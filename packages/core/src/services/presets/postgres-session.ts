import { connect, type Socket } from 'node:net'
import { stateFailed } from './tools.js'
import type { Environment, Server } from './types.js'

const SOCKET = '/var/run/postgresql/.s.PGSQL.5432'
/** 3.0. [PostgreSQL, "Frontend/Backend Protocol", "Message Formats", StartupMessage] */
const PROTOCOL = 196_608

/** A conversation with a PostgreSQL at its own socket: no program is started inside. */
export interface PostgresSession extends Disposable {
  /** Such as 17. */
  readonly version: number
  /** Statements, sent as one; answers the first column of each row. Throws ERR_MAYFLY_RESET_FAILED with the server's words. */
  ask(text: string): Promise<readonly string[]>
}

export interface SessionOptions {
  readonly database?: string | undefined
  /** Settings, as for the server's command line. */
  readonly settings?: string | undefined
  /** Milliseconds of silence after which it is over. */
  readonly patience: number
}

/** Undefined where there is no such socket, or the server refuses or asks for a password: the official image does not, there. */
export async function openPostgres({ container, env }: Pick<Server, 'env'> & { readonly container: { socket(path: string): Promise<string> } }, options: SessionOptions): Promise<PostgresSession | undefined> {
  const socket = connect(await container.socket(SOCKET))
  socket.setTimeout(options.patience, () => { socket.destroy() })
  const said = messages(socket)
  const close = (): void => void socket.destroy()
  let version = 0
  try {
    socket.write(startupMessage(env, options))
    for (;;) {
      const { value, done } = await said.next()
      const isRefused = done === true || value.type === 'E' || (value.type === 'R' && value.body.readInt32BE() !== 0)
      if (isRefused) {
        close()
        return undefined
      }
      if (value.type === 'S') version = /^server_version\0(\d+)/.test(value.body.toString()) ? parseInt(value.body.toString().slice('server_version\0'.length), 10) : version
      if (value.type === 'Z') break
    }
  } catch {
    close()
    return undefined
  }
  const ask = async (text: string): Promise<readonly string[]> => {
    const query = Buffer.from(`Q\0\0\0\0${text}\0`)
    query.writeInt32BE(query.length - 1, 1)
    socket.write(query)
    const rows: string[] = []
    let error: string | undefined
    for (;;) {
      const { value, done } = await said.next().catch((cause: unknown) => { throw stateFailed(String(cause)) })
      if (done === true) throw stateFailed('PostgreSQL has closed the connection')
      if (value.type === 'D') rows.push(firstColumn(value.body))
      if (value.type === 'E') error = errorOf(value.body)
      if (value.type !== 'Z') continue
      if (error !== undefined) throw stateFailed(error)
      return rows
    }
  }
  return { version, ask, [Symbol.dispose]: close }
}

interface Message {
  readonly type: string
  readonly body: Buffer
}

async function* messages(socket: Socket): AsyncGenerator<Message, void> {
  let rest = Buffer.alloc(0)
  for await (const chunk of socket) {
    rest = Buffer.concat([rest, chunk as Buffer])
    while (rest.length >= 5 && rest.length > rest.readInt32BE(1)) {
      const length = 1 + rest.readInt32BE(1)
      yield { type: String.fromCharCode(rest[0] ?? 0), body: rest.subarray(5, length) }
      rest = rest.subarray(length)
    }
  }
}

function startupMessage(env: Environment, { database, settings }: SessionOptions): Buffer {
  const user = env['POSTGRES_USER'] ?? 'postgres'
  const more = settings === undefined ? '' : `options\0${settings}\0`
  const parameters = Buffer.from(`user\0${user}\0database\0${database ?? env['POSTGRES_DB'] ?? user}\0${more}\0`)
  const message = Buffer.alloc(8 + parameters.length)
  message.writeInt32BE(message.length, 0)
  message.writeInt32BE(PROTOCOL, 4)
  parameters.copy(message, 8)
  return message
}

/** [DataRow: a count, then of each column its length, -1 for none, and its bytes] */
function firstColumn(body: Buffer): string {
  const length = body.readInt32BE(2)
  return length < 0 ? '' : body.subarray(6, 6 + length).toString()
}

/** [ErrorResponse: fields, each a letter and a text; M is the message, S the severity] */
function errorOf(body: Buffer): string {
  const fields = new Map(body.toString().split('\0').map(field => [field.slice(0, 1), field.slice(1)]))
  return `${fields.get('S') ?? 'ERROR'}:  ${fields.get('M') ?? ''}`
}

import { connect, type Socket } from 'node:net'
import { connect as connectSecurely } from 'node:tls'
import { isError, MayflyError } from '../../errors.js'
import type { ExternalClient, OpenClient } from './types.js'

/** Redis and its fork, over the protocol itself: logical databases that are empty are ours until the end. */
export const openRedis: OpenClient = async (url): Promise<ExternalClient> => {
  const client = await openConnection(url)
  const kept = new Map<string, readonly (readonly [key: Buffer, left: number, dump: Buffer])[]>()
  const select = async (database: string): Promise<void> => void await client.call('SELECT', database)
  // What is chosen holds for the connection: one after the other.
  let last: Promise<unknown> = Promise.resolve()
  const alone = <T>(work: () => Promise<T>): Promise<T> => {
    const done = last.then(work, work)
    last = done.catch(() => undefined)
    return done
  }
  // The one of the address itself is its owner's.
  const taken = new Set<string>([url.pathname.slice(1) || '0'])
  return {
    copies: false,
    mayCreate: () => Promise.resolve(true),
    choose: () => alone(async () => {
      for (let nth = 0; ; nth += 1) {
        const database = String(nth)
        if (taken.has(database)) continue
        await select(database).catch((cause: unknown) => {
          throw new MayflyError('ERR_MAYFLY_UNSUPPORTED', `The server at ${url.host} has no empty database left for every worker`, { cause, hint: 'Start it with more: --databases 64.' })
        })
        if (Number(await client.call('DBSIZE')) > 0) continue
        taken.add(database)
        return database
      }
    }),
    urlOf: database => {
      const own = new URL(url)
      own.pathname = `/${database}`
      return own.href
    },
    create: () => Promise.resolve(),
    drop: database => alone(async () => {
      await select(database)
      await client.call('FLUSHDB')
    }),
    keep: database => alone(async () => {
      await select(database)
      const keys = await client.call('KEYS', '*') as readonly Buffer[]
      kept.set(database, await Promise.all(keys.map(async key => [key, Math.max(0, Number(await client.call('PTTL', key))), await client.call('DUMP', key) as Buffer] as const)))
    }),
    restore: database => alone(async () => {
      await select(database)
      await client.call('FLUSHDB')
      await Promise.all((kept.get(database) ?? []).map(([key, left, dump]) => client.call('RESTORE', key, String(left), dump)))
    }),
    end: () => Promise.resolve(client.end()),
  }
}

interface Connection {
  call(...words: readonly (string | Buffer)[]): Promise<unknown>
  end(): void
}

async function openConnection(url: URL): Promise<Connection> {
  const at = { host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port || 6379) }
  const socket: Socket = url.protocol === 'rediss:' ? connectSecurely({ ...at, servername: at.host }) : connect(at)
  const waiting: { resolve(value: unknown): void; reject(error: Error): void }[] = []
  let rest: Buffer = Buffer.alloc(0)
  const fail = (cause?: Error): void => {
    for (const { reject } of waiting.splice(0)) reject(new MayflyError('ERR_MAYFLY_RUN_LOST', `The server at ${url.host} does not answer`, { cause }))
  }
  socket.on('error', fail).on('close', () => fail())
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk])
    for (let found = parse(rest, 0); found !== undefined; found = parse(rest, 0)) {
      rest = rest.subarray(found.end)
      const asked = waiting.shift()
      if (isError(found.value)) asked?.reject(found.value)
      else asked?.resolve(found.value)
    }
  })
  const call: Connection['call'] = (...words) => new Promise((resolve, reject) => {
    if (socket.destroyed) return reject(new MayflyError('ERR_MAYFLY_RUN_LOST', `The server at ${url.host} does not answer`))
    waiting.push({ resolve, reject })
    socket.write(Buffer.concat([Buffer.from(`*${String(words.length)}\r\n`), ...words.flatMap(word => [Buffer.from(`$${String(Buffer.byteLength(word))}\r\n`), Buffer.from(word), Buffer.from('\r\n')])]))
  })
  const [user, password] = [decodeURIComponent(url.username), decodeURIComponent(url.password)]
  if (password !== '') await call('AUTH', ...(user === '' ? [password] : [user, password]))
  else await call('PING')
  return { call, end: () => void socket.end() }
}

/** One value of the protocol from `at` on; undefined while some of it is missing. */
function parse(bytes: Buffer, at: number): { readonly value: unknown; readonly end: number } | undefined {
  const line = bytes.indexOf('\r\n', at)
  if (line < 0) return undefined
  const text = bytes.toString('utf8', at + 1, line)
  const next = line + 2
  switch (bytes[at]) {
    case 0x2d: return { value: new Error(text), end: next }
    case 0x24: {
      const length = Number(text)
      if (length < 0) return { value: null, end: next }
      return bytes.length < next + length + 2 ? undefined : { value: bytes.subarray(next, next + length), end: next + length + 2 }
    }
    case 0x2a: {
      const values: unknown[] = []
      let end = next
      for (let left = Number(text); left > 0; left -= 1) {
        const one = parse(bytes, end)
        if (one === undefined) return undefined
        values.push(one.value)
        end = one.end
      }
      return { value: values, end }
    }
    default: return { value: text, end: next }
  }
}

import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Asked {
  readonly method: string
  readonly url: URL
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

export interface Shape {
  readonly host: string
  readonly origin: string
  /** What was asked, in order. */
  readonly asked: Asked[]
  /** The same, as `METHOD path`. */
  lines(): string[]
  close(): Promise<void>
}

/** A server that answers as a registry of one kind does. */
export async function shape(answer: (asked: Asked, response: ServerResponse) => void): Promise<Shape> {
  const asked: Asked[] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => {
      const one: Asked = { method: request.method ?? '', url: new URL(request.url ?? '', `http://${request.headers.host ?? ''}`), headers: request.headers, body: Buffer.concat(chunks) }
      asked.push(one)
      answer(one, response)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const host = `127.0.0.1:${String((server.address() as AddressInfo).port)}`
  return {
    host, asked, origin: `http://${host}`,
    lines: () => asked.map(({ method, url }) => `${method} ${url.pathname}${url.search}`),
    close: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

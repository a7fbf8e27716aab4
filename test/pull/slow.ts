import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** What `MAYFLY_REGISTRY_MIRROR` has for it. */
export interface SlowMirror {
  readonly mirror: string
  close(): void
}

/** A mirror that sends what is large bit by bit until `enough`, then the rest. `from`: the one it asks. */
export async function slowMirror(from: string, enough: () => boolean): Promise<SlowMirror> {
  const server = createServer((request, response) => void (async () => {
    const answer = await fetch(`${from}${request.url ?? ''}`, { method: request.method ?? 'GET', headers: { accept: String(request.headers.accept ?? '*/*') } })
    const body = Buffer.from(await answer.arrayBuffer())
    const headers = Object.fromEntries([...answer.headers].filter(([name]) => /^(content-type|content-length|docker-content-digest)$/.test(name)))
    response.on('error', () => undefined).writeHead(answer.status, headers)
    let sent = 0
    while (body.length > 100_000 && !enough() && sent < body.length / 2 && !response.destroyed) {
      response.write(body.subarray(sent, sent += 512))
      await sleep(100)
    }
    response.end(body.subarray(sent))
  })().catch(() => response.destroy()))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    mirror: `http://127.0.0.1:${String((server.address() as AddressInfo).port)},off`,
    close: () => {
      server.closeAllConnections()
      server.close()
    },
  }
}

import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { openBench, startRunner } from '../jest/runner.js'

test('Vitest\'s set-up says how far a long pull is', { timeout: 120_000 }, async () => {
  const bench = await openBench()
  let output = ''
  const told = (): boolean => output.includes('mayfly: pulling ')
  const [registry = ''] = (bench.environment['MAYFLY_REGISTRY_MIRROR'] ?? '').split(',')
  // The mirror, which sends what is large bit by bit until the line is there.
  const slow = createServer((request, response) => void (async () => {
    const answer = await fetch(`${registry}${request.url ?? ''}`, { method: request.method ?? 'GET', headers: { accept: String(request.headers.accept ?? '*/*') } })
    const body = Buffer.from(await answer.arrayBuffer())
    const headers = Object.fromEntries([...answer.headers].filter(([name]) => /^(content-type|content-length|docker-content-digest)$/.test(name)))
    response.on('error', () => undefined).writeHead(answer.status, headers)
    let sent = 0
    while (body.length > 100_000 && !told() && sent < body.length / 2 && !response.destroyed) {
      response.write(body.subarray(sent, sent += 512))
      await sleep(100)
    }
    response.end(body.subarray(sent))
  })().catch(() => response.destroy()))
  try {
    slow.listen(0, '127.0.0.1')
    await once(slow, 'listening')
    const mirror = `http://127.0.0.1:${String((slow.address() as AddressInfo).port)},off`
    const child = startRunner('vitest', 'main', { ...bench, environment: { ...bench.environment, MAYFLY_HOME: join(bench.directory, 'fresh'), MAYFLY_REGISTRY_MIRROR: mirror } }, ['run', 'one'])
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (text: Buffer) => { output += text.toString() })
    const [code] = await once(child, 'close') as [number | null]
    expect(output).toMatch(/^mayfly: pulling [\w:./-]+: [\d.]+ \w+ of [\d.]+ MiB, [\d.]+ \w+\/s, \d of \d layers?$/m)
    expect(code, output).toBe(0)
  } finally {
    slow.closeAllConnections()
    slow.close()
    await bench.close()
  }
})

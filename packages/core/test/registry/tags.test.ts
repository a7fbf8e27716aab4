import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'

import { parseReference } from '../../src/reference.js'
import { fetchTags } from '../../src/registry/tags.js'

test('tags come page by page, wherever the registry has the next one begin', async () => {
  const asked: string[] = []
  const server = createServer((request, response) => {
    const { searchParams } = new URL(request.url ?? '', 'http://x')
    const last = searchParams.get('last')
    asked.push(last ?? '')
    if (last === null) response.setHeader('link', '<http://192.0.2.1/v2/a/tags/list?last=from%20here&n=1>; rel="next"')
    response.end(JSON.stringify({ name: 'a', tags: last === null ? ['b', 'c'] : ['a', 'c'] }))
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  onTestFinished(() => { server.close(); server.closeAllConnections() })
  const host = `127.0.0.1:${String((server.address() as AddressInfo).port)}`
  expect(await fetchTags(parseReference(`${host}/a`))).toEqual(['a', 'b', 'c'])
  expect(asked).toEqual(['', 'from here'])
})

test('what is no tag is refused', async () => {
  const server = createServer((_, response) => { response.end('{"tags":["../x"]}') }).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  onTestFinished(() => { server.close(); server.closeAllConnections() })
  await expect(fetchTags(parseReference(`127.0.0.1:${String((server.address() as AddressInfo).port)}/a`))).rejects.toMatchObject({ code: 'ERR_MAYFLY_MANIFEST_INVALID' })
})

import type { ServerResponse } from 'node:http'
import { once } from 'node:events'
import { expect, test } from 'vitest'

import { openStore, pullImage, pushImage, tagImage } from '../../src/images/index.js'
import { parseReference } from '../../src/reference.js'
import { shape } from '../registry/shape.js'
import { fakeRegistry, tar, temporaryHome } from './fixture.js'

test('a push that fails ends all that it sends: nothing of it meets the next one at the registry', async () => {
  const source = await fakeRegistry()
  const home = await temporaryHome()
  source.add('app', '1', [tar([{ name: 'a', content: 'a' }]), tar([{ name: 'b', content: 'b' }])])
  const store = await openStore(home.path)
  await pullImage(store, parseReference(`${source.host}/app:1`))
  const held: ServerResponse[] = []
  const ends: Promise<unknown>[] = []
  // Two blobs are kept waiting; the third is refused.
  const registry = await shape((_, response) => {
    if (held.length === 2) return void response.writeHead(400).end()
    held.push(response)
    ends.push(once(response, 'close'))
  })
  try {
    const name = parseReference(`${registry.host}/app:1`)
    await tagImage(store, parseReference(`${source.host}/app:1`), name)
    await expect(pushImage(store, name)).rejects.toMatchObject({ code: 'ERR_MAYFLY_REGISTRY_UNAVAILABLE' })
    await Promise.all(ends)
    expect(registry.lines().filter((line) => line.startsWith('HEAD'))).toHaveLength(3)
    expect(held.every(({ writableEnded }) => !writableEnded)).toBe(true)
  } finally {
    await registry.close()
    await source.close()
    await home.remove()
  }
})
